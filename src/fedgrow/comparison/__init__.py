"""Comparison of methods: experiments, what each came to, and what may be said of their differences."""
