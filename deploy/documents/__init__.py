"""Documents that are made from code."""
