"""Glitches: uploaded, embedded, stored, labelled, found again."""
