"""Equal-area cells of HEALPix in nested order (Górski et al., ApJ 622, 2005).

``indexing.py`` converts between nested numbers, base faces and directions, ``neighbours.py`` finds neighbours and
patches across the edges of base faces, ``interpolation.py`` interpolates between cell centres, ``surface.py`` has the
surface.
"""
