"""Published checkpoints, and what they make of glitches."""
