"""Models that run elsewhere: their predictions are read from files and judged as a run's own are; edited images are written for them."""
