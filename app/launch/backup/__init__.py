"""`glitch-discovery backup` and `restore`: the catalogue, and the files that it names."""
