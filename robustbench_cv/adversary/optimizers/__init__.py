"""How the adversary searches: by gradients, by values, by decisions."""
