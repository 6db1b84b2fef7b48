"""Published glitches as references: fetched from their archives, labelled by a named source."""
