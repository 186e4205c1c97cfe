"""Formulas of generative models and samplers, as functions on tensors: no networks, no files.

A *denoise function* maps noisy images ``x = image + sigma · noise`` ``(batch, channels, *grid)`` and their noise levels
``sigma`` ``(batch,)`` to estimates of the images. Everything here takes any denoise function; ``models.Denoiser`` is
one.

``edm`` has the preconditioning, loss weight, training noise levels and schedule of EDM, ``flow`` those of rectified
flow and its change of variables to a denoiser. ``samplers`` integrate the probability-flow ODE over a schedule of
noise levels, ``repaint`` fills holes, and ``noise`` draws random numbers that depend on a seed per sample only.
Noise levels are in the units of the images, so that schedules and distributions scale with ``sigma_data``, the
standard deviation of the images.

``variational`` has the loss of variational autoencoders, ``adversarial`` those of a generator and a discriminator,
``inpainting`` those of networks that fill holes, ``diff_augment`` the transforms of a discriminator's input. The first
two also detect a collapse of the posterior or of the generator.
"""
