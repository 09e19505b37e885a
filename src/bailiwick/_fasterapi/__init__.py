"""The folder behind the FasterAPI door: what is declared, how it is read, settled, run and served."""
