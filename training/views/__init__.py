"""The product's model of views: its task, its linear part, its export."""
