"""Features specific to PostgreSQL: partitions, and rows read and written as arrays."""
