"""The FastAPI adapter: reading its routes and dependency trees, gates, OpenAPI."""
