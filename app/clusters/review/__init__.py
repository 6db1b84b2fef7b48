"""Review of clusters: actions, their history, and their effect on labels."""
