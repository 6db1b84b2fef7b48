"""Core: settings, errors, the database and access. It imports no subject folder."""
