"""Replacements of torch functions inside converted networks; ``omniconv.convert`` explains how they are reached.

``module_class`` patches the classes of modules, ``mode`` intercepts torch functions, ``table`` lists the overrides of
``conv_pool``, ``transposed``, ``pad_crop`` and ``resize``; ``tangent`` replaces some of them for tangent-plane kernels.
``pad_tracking`` holds the pad offset that padded tensors carry between two overrides.
"""
