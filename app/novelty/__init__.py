"""Novelty in SQL: conformal p-values against the labelled glitches.

Labelled glitches are references, and those of established classes calibrate (``glitch.novelty``). A
glitch is compared only with those of the same detector, and never a real with a simulated one.
"""
