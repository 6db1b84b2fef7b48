"""The demonstration: simulated glitches, one class of them without labels, to try things on."""
