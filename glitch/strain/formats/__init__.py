"""Strain in the file formats that detector scientists keep it in, each as a `Source`."""
