"""Digits by four generative methods after equal CPU time."""
