"""What is new since yesterday: a page, JSON, and a message to the operator's webhook."""
