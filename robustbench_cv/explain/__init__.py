"""Where in the image a model's answer comes from: maps, how far they keep to the object, and what they are worth as explanations."""
