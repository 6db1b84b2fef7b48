"""Clusters of novel glitches: made by a run, kept, browsed."""
