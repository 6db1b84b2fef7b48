"""Write the catalogue as tables for other tools, with Gravity Spy's column names."""
