"""Attacks made of attacks: several targets, ensembles, shrinking radii, surrogates."""
