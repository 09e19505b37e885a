"""What lies behind the server's door: the verifier of APIs that run in the same process."""
