"""Networks for dense prediction on the features of an encoder of ``omniconv.models.encoders``.

A decoder takes the list of signals that the encoder returns, finest first, and their ``channels``, ``surfaces`` and
``strides``. ``blocks`` has what several of them share: resizing over several levels, and checks of the encoder. Every
network returns logits of the size of its image, for images of any size.
"""
