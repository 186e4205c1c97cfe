"""Encoders: the downsampling part of a network, shared by the models.

The ``forward`` of an encoder returns a list of signals, the finest first. Its attributes are ``channels``, ``surfaces``
and ``strides`` of each signal, and ``total_stride`` of the coarsest. The first signal of ``plain`` has the full size,
that of a ResNet (``resnet``) half of it. ``make_encoder`` (``registry``) builds an encoder by its name.
"""
