"""Panoramas: ``Equirectangular`` and its three types of kernels.

``surface.py`` has the surface, which asks one object for all neighbours: flat kernels (a ``Border``) are defined there,
``tangent.py`` has kernels on tangent planes (SphereNet; periodic stencils), ``row_kernels.py`` kernels that differ
between rows (SphConv; row stencils). ``kernels.py`` has the argument checks of the last two.
"""
