"""Human motion prediction: the student study on DIP/AMASS, its baselines, and sign clips.

Networks see two seconds of a moving body at 60 Hz and predict the next 24 frames (400 ms).

- Imports run one way: body and metrics; data and models; training; study.
- "The document" is sources/motion-prediction.txt. Where it leaves a choice open, the docstring of
  the code that makes the choice says "Reading:".

Letters used throughout, unless a file says otherwise: **B** windows, **T** frames, **N** forecast
frames, **J** joints, **M** channels per joint, **D** width, **H** heads.
"""
