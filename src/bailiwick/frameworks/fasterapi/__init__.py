"""The FasterAPI adapter: reading its routes, gates, running dependencies, OpenAPI."""
