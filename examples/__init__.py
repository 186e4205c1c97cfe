"""Published experiments, run with omniconv: each folder is one of them and says how in its README."""
