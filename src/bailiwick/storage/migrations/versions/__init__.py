"""One file for each version, named after its number."""
