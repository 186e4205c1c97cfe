"""Operators on regular grids, where neighbours are index shifts and the backend's dense operators do the work.

``padding`` continues a signal beyond its edges as its ``Border`` says (``cube_padding`` over the edges of a cube), and
has the adjoint. ``conv``, ``pool`` and ``resize`` pad only what the backend cannot: ``axis`` turns unequal zeros into
equal ones and a crop, ``border_strips`` adds the contribution of padded samples on large CPU signals without a copy.
``symbolic_padding`` and ``symbolic_resize`` are formulas without branches for the symbolic sizes of ``torch.export``.
The modules hold no parameters; the layers of ``omniconv.nn`` pass theirs.
"""
