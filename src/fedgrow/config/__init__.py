"""Plans, studies and sites' files: frozen settings, and how they are read."""
