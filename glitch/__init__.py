"""The science: pure functions and modules without HTTP, SQL, queues, clock or global state."""
