"""Audit of labels: impure clusters, and glitches that differ from others of their label."""
