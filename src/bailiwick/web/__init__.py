"""HTTP of the authority: bytes in, an act of `authority`, bytes out. It knows no storage and decides nothing."""
