"""Page routes: each parses, calls a service, renders."""
