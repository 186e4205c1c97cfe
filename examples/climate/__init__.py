"""Annual temperature maps of a climate model, generated on the sphere and by a flat network of the same size."""
