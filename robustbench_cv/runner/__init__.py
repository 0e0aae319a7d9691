"""From a suite to records: plan, cells, store, resume."""
