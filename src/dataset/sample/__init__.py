"""A seeded synthetic competition: signs, signers, and their clips as MediaPipe would see them.

- lexicon.py draws the signs, signers.py the people who sign.
- performance.py moves a body in metres, built by skeleton.py and face.py.
- camera.py turns the body into landmarks; writer.py writes them to files.

Letters in all these files: **T** frames.
"""

from src.dataset.sample.writer import is_synthetic, write_sample

__all__ = ["is_synthetic", "write_sample"]
