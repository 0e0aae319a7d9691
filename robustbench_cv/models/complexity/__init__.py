"""What a model costs: parameters, multiply-adds, activation memory, receptive fields, latency. A pass is watched, nothing is changed."""
