"""cubemap."""
