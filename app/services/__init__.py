"""Use cases, one a function: each takes a session first, never commits, returns frozen records."""
