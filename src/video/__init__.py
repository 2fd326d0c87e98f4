"""From video to landmarks, and to the sign that a run's model sees in them.

holistic.py runs in an environment of its own (environment.py), because mediapipe needs an older
numpy; extract.py asks it and keeps the answer; predict.py and overlay.py go on from there.
"""
