"""Convolutions, whose weights are learned.

``conv`` has the convolution and the transposed one on any surface: their operator comes from ``omniconv.nn.dispatch``.
``conv_nd`` has those on grids with torch's names, signatures and state_dict. The others are composed of ``Conv``:
``coord_conv`` adds coordinates as channels, ``gated_conv`` multiplies by a learned gate, ``partial_conv`` leaves out
the samples under a mask, ``separable_conv`` is depthwise and pointwise. Convolutions with normalized weights are in
``omniconv.nn.norm``.
"""
