"""The demonstration: simulated glitches, one class of them without labels."""
