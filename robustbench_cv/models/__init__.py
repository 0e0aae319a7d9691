"""Models: adapters that put range, resizing and normalisation inside, and the architectures that no library has."""
