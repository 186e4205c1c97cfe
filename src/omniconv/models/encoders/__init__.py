"""Encoders: the downsampling part of a network, shared by the models.

The ``forward`` of an encoder returns a list of signals, one for each size, the full size first. Its attributes are
``channels`` and ``surfaces`` of each size, and ``total_stride`` of the coarsest.
"""
