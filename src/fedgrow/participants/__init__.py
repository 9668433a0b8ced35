"""A participant at its own site, whatever it takes part in: its data, its small model, its training."""
