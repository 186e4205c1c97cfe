"""Inpainting: a network that fills holes of images.

``base`` has the task: its data, holes, losses, measures and report. Its methods are networks with one kind of
convolution each, trained and measured alike, and DeepFill v2 with its adversary. Random holes are drawn by
``omniconv.data.hole_masks``, measured by ``omniconv.metrics.holes``, and filled in image files by
``omniconv.inference.inpainting``, which serves every network with a method ``inpaint``.
"""
