"""The life of a class: its place among others, what staff do to it, and how that is undone."""
