"""Batches: thousands of glitches in one upload, told apart, read and stored by a job."""
