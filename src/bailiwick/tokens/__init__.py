"""Keys, signatures, claims: whether a token is true. No network."""
