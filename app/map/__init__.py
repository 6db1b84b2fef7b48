"""The map: two coordinates for each glitch, its columns for drawing, labels for a selection."""
