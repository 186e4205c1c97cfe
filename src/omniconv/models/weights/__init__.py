"""Weights of other programs: state dicts of flat networks for networks on any surface.

``sources`` reads them from a file or a state dict, or downloads those of torchvision and timm. ``kernels`` converts
flat kernels to the taps or operators of a mesh. ``loading`` compares names and shapes with those of the network,
adapts the first convolution and the last layer, and reports what it did. Files of ``oc.save`` are read by ``oc.load``
(``models.storage``).
"""
