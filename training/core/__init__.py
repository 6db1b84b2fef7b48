"""Common parts of all training runs: configuration, loop, state, objectives, logs."""
