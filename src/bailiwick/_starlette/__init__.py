"""What stands behind the Starlette door: marks on endpoints, reading routes, gating them, answering errors."""
