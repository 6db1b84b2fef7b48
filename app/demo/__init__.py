"""The demonstration: simulated glitches, of which one class has no labels."""
