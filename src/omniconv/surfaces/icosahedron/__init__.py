"""icosahedron."""
