"""Common parts of all trainings: configuration, loop, state, objectives, logs."""
