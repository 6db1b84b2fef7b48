"""Clusters of novel glitches: found by a run, stored, reviewed."""
