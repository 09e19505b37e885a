"""What tutorials teach, written as they teach it, so that it can be measured. None of it is a recommendation."""
