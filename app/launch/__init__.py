"""`glitch-discovery up`: one data directory, its processes, their start and stop."""
