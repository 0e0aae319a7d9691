"""Where the adversary may go: balls of a norm, free pixels, patches, rotations and shifts; and the projections onto them."""
