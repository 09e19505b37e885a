"""What stands behind the FastAPI door: reading its routes, gating them, pruning trees, describing them."""
