"""Glitches as a trainer reads them: packs, data sets, splits, batches."""
