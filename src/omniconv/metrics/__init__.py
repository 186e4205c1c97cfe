"""Metrics of generated and completed images, as functions on arrays and tensors.

They work offline: no pretrained network is downloaded.
"""
