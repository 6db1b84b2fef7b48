"""What every training has: configuration, loop, state, objectives, logs."""
