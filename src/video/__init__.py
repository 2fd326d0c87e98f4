"""From video to landmarks, and to the signs that a run's model finds in them.

- holistic.py and worker.py run in an environment of their own (environment.py), because mediapipe
  needs an older numpy; process.py asks them, and recording.py holds the answers.
- predict.py names the sign; overlay.py draws the landmarks over the video.
"""
