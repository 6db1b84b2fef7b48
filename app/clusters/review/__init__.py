"""Reviewing clusters: acts, their log, and what they do to labels."""
