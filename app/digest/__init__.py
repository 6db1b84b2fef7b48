"""What is new since yesterday: a page, JSON, a message to the operator's webhook, mail."""
