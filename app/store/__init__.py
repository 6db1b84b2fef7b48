"""SQL and nothing else: tables, engine, migrations, the embedded server."""
