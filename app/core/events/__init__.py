"""Histories of acts that can be undone, of clusters and of classes alike."""
