"""A seeded synthetic competition: signs, signers, and their clips as MediaPipe would see them.

lexicon.py (what the signs are) and signers.py (who signs) meet in performance.py (how a body
moves, in metres), which rests on skeleton.py and face.py; camera.py makes landmarks of it,
writer.py and slovo.py files.
"""

from src.dataset.sample.slovo import write_slovo_sample
from src.dataset.sample.writer import write_sample

__all__ = ["write_sample", "write_slovo_sample"]
