"""Federations between sites."""
