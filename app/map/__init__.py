"""The map: coordinates of each glitch, its columns for drawing, labels for a selection."""
