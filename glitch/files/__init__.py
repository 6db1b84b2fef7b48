"""Files of untrusted senders: limits on what is read, and errors of damaged files."""
