"""Human motion prediction: the student study on DIP/AMASS, its baselines, and the same on signs.

Two seconds of a moving body in, the next 24 frames (400 ms) out, at 60 Hz. Letters used
throughout: **B** windows, **T** frames, **J** joints, **M** channels per joint, **D** width,
**H** heads. The document is sources/motion-prediction.txt; choices it leaves open are marked
"Reading:" in the docstring of what makes them.
"""
