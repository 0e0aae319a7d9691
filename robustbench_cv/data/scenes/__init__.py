"""Scenes, the embedded data set: pictures rendered from descriptions, so that every edit has its exact counterfactual."""
