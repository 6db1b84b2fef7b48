"""Files of untrusted senders: what is read of them, how much, and what their damage is called."""
