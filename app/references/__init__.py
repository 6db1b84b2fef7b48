"""Published glitches as references, fetched from archives and labelled with a named source."""
