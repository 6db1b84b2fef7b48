"""Novelty in SQL: conformal p-values against the labelled glitches.

A labelled glitch is a reference, and calibrates if its class is established (``glitch.novelty``).
Only glitches of the same detector judge each other, and simulated ones never judge real ones.
"""
