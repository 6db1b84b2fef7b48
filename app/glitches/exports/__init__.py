"""The catalogue as a table for other tools, in Gravity Spy's column names."""
