"""Writing the catalogue as tables that other tools read, in Gravity Spy's column names."""
