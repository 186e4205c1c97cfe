"""Convolutions on ``RowStencil``: one kernel, and one kernel shape, for each row of a panorama (SphConv).

``modules`` has ``RowConvolution`` and its adjoint, which take weight and bias as arguments: ``nn.Conv`` and
``nn.ConvTranspose`` own these. Its ``reference`` methods are the readable definition in torch's own operators; export
and forward-mode derivatives use them. ``ops`` has the fast custom ops: forward, adjoint and correlation, each the
derivative of the other two. They cut the output rows into the tiles of ``tiles``, copy the input of a tile, also across
the poles and the seam, into a small image with the rows as groups of channels, and run one grouped convolution of the
backend on it. The geometry travels as a list of ints (``RowPlan``), as custom ops take no objects.
"""
