"""Plans: frozen settings of a run, and how they are read."""
