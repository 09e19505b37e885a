"""What stands behind the ASGI door: what is declared, the gate that enforces it, and the resource it belongs to."""
