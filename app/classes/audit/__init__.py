"""Audit of labels: clusters with mixed labels, and labels that their neighbours contradict."""
