"""Published glitches as references, fetched from archives; their labels name the source."""
