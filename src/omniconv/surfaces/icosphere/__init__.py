"""Vertices of a subdivided icosahedron (Jiang et al., ICLR 2019).

``surface.py`` subdivides the icosahedron and builds the stencils; ``triangle_mesh.py`` has the geometry and the
differential operators of any closed triangle mesh.
"""
