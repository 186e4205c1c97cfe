"""Free-form inpainting of panoramas and of the Earth with gated, partial and plain convolutions."""
