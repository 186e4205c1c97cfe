"""Faces of a subdivided icosahedron (SpherePHD, Lee et al., CVPR 2019).

``faces.py`` has geometry, adjacency and the ten taps of every face, ``interpolation.py`` the functions on the sphere
that a signal on faces defines, ``surface.py`` the surface and its stencils.
"""
