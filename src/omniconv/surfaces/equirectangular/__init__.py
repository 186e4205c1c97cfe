"""equirectangular."""
