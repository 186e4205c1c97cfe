"""Layers that change the number of samples of a signal, without learned weights except for patches.

``pool`` reduces windows to their maximum, mean or p-norm, and ``unpool`` puts maxima back; ``resizing`` interpolates to
a finer or averages to a coarser level of the surface, or resamples from one sphere to another. ``space_to_depth`` turns
the samples in a coarse sample into channels and back, without loss or, as patches, by a convolution. Their operators
come from ``omniconv.nn.dispatch``.
"""
