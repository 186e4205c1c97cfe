"""The sphere on the six faces of a cube.

``faces.py`` has the directions of pixels, the pixels beyond the edges of a face (used by cube padding), and
interpolation between pixel centres; ``surface.py`` the surface, whose neighbours are a ``CubeBorder``.
"""
