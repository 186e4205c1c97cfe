"""Fitting networks to folders of images."""
