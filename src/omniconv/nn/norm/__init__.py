"""Normalization of signals and of weights.

``normalization`` has batch norm and group norm, with statistics weighted by the area of the samples, and chooses a
layer by name; ``group_norm_ops`` computes group norm in few passes over memory. ``magnitude`` (EDM2) and
``spectral_norm`` normalize the weights of a convolution in place of its signals.
"""
