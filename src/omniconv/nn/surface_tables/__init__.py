"""Tensors that follow from a surface alone, and are neither parameters nor buffers.

A ``TableModule`` (``table_module``) states a recipe; the tensors are computed for the device and dtype of the signal
when they are needed, and shared by all layers. ``table_tracing`` computes them while torch traces a program.
``area_weights`` has the weights of a mean over the surface, which normalization, attention and global pooling share.
"""
