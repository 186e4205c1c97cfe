"""Descriptions of neighbourhoods: which input samples each output depends on, and with which fixed weights.

``border.py``: regular grids; neighbours are index shifts, and a ``Border`` states the values beyond each edge.
``border_index`` is the definition of every mode. ``stencil.py``: samples anywhere; a ``Stencil`` is a stack of sparse
operators, one for each tap. Two stencils have structure that layers exploit: ``PeriodicStencil`` repeats along the rows
of a grid and is stored as one period, ``HaloStencil`` is equivalent to 3 × 3 windows of padded square faces.
``row_stencil.py``: one kernel with its own shape for each row of a panorama. Each has an ``adjoint``, the neighbourhood
of the transposed convolution.
"""
