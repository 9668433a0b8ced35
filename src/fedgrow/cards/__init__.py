"""Model cards: what stands beside a model that was grown."""
