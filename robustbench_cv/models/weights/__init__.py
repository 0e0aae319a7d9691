"""Bundled weights, each with a card that says how they were made."""
