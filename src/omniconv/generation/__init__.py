"""Generation of images: noise schedules, losses and samplers as functions on tensors.

Nothing here defines a network. The models (``omniconv.models``) call these functions in ``sample`` and ``inpaint``, the
tasks in their losses.
"""
