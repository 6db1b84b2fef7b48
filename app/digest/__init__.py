"""The daily summary: a page, JSON, a webhook message, mail."""
