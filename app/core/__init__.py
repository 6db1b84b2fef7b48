"""Core: settings, errors, the database and access; knows no room."""
