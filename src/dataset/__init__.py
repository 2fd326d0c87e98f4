"""From the competition folder, or a synthetic one, to batches of clips."""
