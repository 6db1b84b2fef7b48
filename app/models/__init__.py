"""Published checkpoints, and their output for glitches."""
