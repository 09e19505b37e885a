"""The Starlette adapter: endpoint metadata, reading routes, gates, answering errors."""
