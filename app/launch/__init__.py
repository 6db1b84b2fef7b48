"""`glitch-discovery up`: the data directory, the processes, and how they start and stop."""
