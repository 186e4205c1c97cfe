"""Networks that generate images: denoisers (diffusion, flow), autoencoders, and adversarial networks.

``denoiser`` has the base class of denoisers, which samples, fills holes and applies the parametrization of
``omniconv.generation``, and ``Denoiser`` with the network of ``diffusion_unet``; ``local_denoiser`` has a network of
limited receptive field instead. ``latent_model`` is the base of networks that generate from a latent signal:
``autoencoder`` has the plain and the variational one, ``r3gan`` the generator and discriminator. All of them draw
samples by ``batched_sampling``: in evaluation mode, with a seed for each sample, so that a sample does not depend on
the batch size.
"""
