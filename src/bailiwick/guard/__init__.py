"""The engine that every Guard shares: ASGI only, no framework."""
