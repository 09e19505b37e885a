"""Measures what a guard costs: beside the open route, and beside the code that tutorials show. `make bench`."""
