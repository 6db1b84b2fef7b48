"""The pages for people: server-rendered, no network beyond the service, each a typed context."""
