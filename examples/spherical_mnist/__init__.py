"""Spherical MNIST (Jiang et al., Spherical CNNs on Unstructured Grids, ICLR 2019): digits on an icosphere."""
