"""Explanations of one convolution, pooling or unpooling, step by step, as an animated GIF or a page to step through.

``api`` parses the options of the command line (``parsing``) into ``windows.Arguments``. ``windows`` is the slow,
readable definition of every layer: where the taps of each window fall, which sample each reads, and what the window
computes. ``conv`` and ``pool`` turn it into a ``scene.Scene``: panels of cells, one step for each window, and the
arithmetic (``text``). ``layout`` positions the panels for wide and narrow pages, and ``svg`` draws them. There is no
other drawing: ``page`` puts it into an HTML file with a player (``player.js``), and ``gif`` rasterises the same SVG.

Nothing here imports torch; the tests compare every number with the real layers.
"""
