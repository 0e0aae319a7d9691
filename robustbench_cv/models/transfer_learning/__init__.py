"""A trained model for other classes: a new head, and what of the old one is kept."""
