"""What only PostgreSQL can: partitions, and rows as arrays."""
