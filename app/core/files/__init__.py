"""Files that processes share, and those that killed ones left behind."""
