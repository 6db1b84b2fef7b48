"""Data quality in a batch: flags from files and from a segment database."""
