"""icosphere."""
