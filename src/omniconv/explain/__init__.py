"""Convolution, pooling and unpooling by moving pictures: every number in them comes from the slow definition here."""
