"""Recipes of the bundled weights, and the loop that runs them."""
