"""healpix."""
