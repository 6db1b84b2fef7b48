"""`glitch-discovery up`: one data directory, its processes, and their orderly start and stop."""
