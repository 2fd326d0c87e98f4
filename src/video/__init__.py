"""From video to landmarks, and to the signs that a run's model finds in them.

- holistic.py runs in an environment of its own (environment.py), because mediapipe needs an older
  numpy. extract.py calls it and saves the landmarks.
- predict.py names the sign; overlay.py draws the landmarks over the video.
"""
