"""Batches: thousands of glitches in one upload, split, read and stored by a job."""
