"""Measures of a representation that need labels or several runs; each a pure function of arrays."""
