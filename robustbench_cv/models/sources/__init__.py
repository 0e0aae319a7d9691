"""Models of other libraries, and of files."""
