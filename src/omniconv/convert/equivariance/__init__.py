"""Report of ``to_equirectangular`` and ``to_tangent``: which operations are not equivariant to rolling the panorama.

``report`` chooses the roll and builds the list of findings, ``tracer`` runs the network on images and their rolled
copies in one batch and compares both after every torch function, ``roll`` finds which axes of a tensor are rolled.
"""
