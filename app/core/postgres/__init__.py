"""Features specific to PostgreSQL: partitions, and rows as arrays."""
