"""Encoders: the part of a network that goes down in size, shared by the models.

An encoder is a module whose ``forward`` returns the signal at each size, the full one first. Its attributes tell the
model how to continue: ``channels`` and ``surfaces`` of each size, and ``total_stride`` of the coarsest.
"""
