"""Reading files from untrusted senders: size limits, and errors for damaged files."""
