"""Diffusion model of limited receptive field for a few panoramas, after SinDDM (Kulikov et al., ICML 2023)."""
