"""Attention, which relates samples at any distance.

``self_attention`` is over all samples of a surface, weighted by area; ``contextual_attention`` fills the hole of an
image from patches of the known part.
"""
