"""Training data: packs, data sets, splits, batches."""
