"""Evidence per sample, then a reduction: so that every number has an interval and a pairing, ratios of sums included."""
