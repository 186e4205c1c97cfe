"""stencil."""
