"""Networks that fill holes of images in one forward pass, from the image and a mask.

``inpainter`` has the model, whose ``kind`` selects the network: U-Nets of gated, partial or plain convolutions, or the
two-stage network of DeepFill v2. ``deepfill`` has that network and its patch discriminator. Denoisers fill holes too,
by sampling (``omniconv.models.generative.denoiser``).
"""
