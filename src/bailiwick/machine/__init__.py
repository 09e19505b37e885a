"""What the process supplies to the pure rooms: work that needs threads."""
