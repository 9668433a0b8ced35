"""A federation between real sites: a coordinator and its SuperLink, sites and their SuperNodes."""
