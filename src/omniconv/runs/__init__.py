"""A run from its first word to its report: what the doors call."""
