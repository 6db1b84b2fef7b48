"""Readers of the file formats in which strain is stored, each of which opens a `Source`."""
