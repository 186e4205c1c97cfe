"""sphconv."""
