"""The model of views used by the service: its task, its linear part, its export."""
