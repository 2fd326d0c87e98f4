"""The real run rehearsed: PROFILE=full on a synthetic competition of the genuine one's size."""
