"""Glitches: upload, embedding, storage, labels, search."""
