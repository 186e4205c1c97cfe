"""equivariance."""
