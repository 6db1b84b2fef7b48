"""Classes: their hierarchy, the actions of staff on them, and undo."""
