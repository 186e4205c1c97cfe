"""Layers on every surface, as ``torch.nn.Module``.

A layer parses its arguments once (``arguments``), asks its surface for the neighbours of each output, and gets from
``dispatch`` the operator for this type of neighbours: ``grid`` (index shifts, the backend's dense operators),
``stencil`` (sparse operators on meshes) or ``rows`` (a kernel for each row of a panorama). Layers hold the parameters
and check their input; ``forward`` has no branch on the surface.

``conv/`` has the convolutions, ``resampling/`` the layers that change the number of samples, ``norm/`` the
normalization of signals and weights, ``attention/`` the layers between samples at any distance. ``pad`` pads grids.
``aspp`` and ``blocks`` are composed of these layers; ``embeddings`` embeds noise levels and labels, and scales and
shifts signals by an embedding.

``surface_tables/`` computes what follows from the surface alone and is neither parameter nor buffer. ``symbolic``,
``jit_tracing`` and ``torch_private`` gather the code for torch.export, for torch.jit and on private APIs of torch;
``inspection`` runs a network without side effects.
"""

from omniconv.nn.aspp import ASPP
from omniconv.nn.attention.contextual_attention import ContextualAttention
from omniconv.nn.attention.self_attention import SelfAttention
from omniconv.nn.blocks import ConvBlock, DoubleConv, OutputHead, ResidualBlock, UpBlock
from omniconv.nn.conv.conv import Conv, ConvTranspose
from omniconv.nn.conv.conv_nd import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from omniconv.nn.conv.coord_conv import CoordConv
from omniconv.nn.conv.gated_conv import GatedConv
from omniconv.nn.conv.partial_conv import PartialConv
from omniconv.nn.conv.separable_conv import SeparableConv
from omniconv.nn.embeddings import FourierEmbedding, LabelEmbedding, NormScaleShift, ScaleShift, SinusoidalEmbedding
from omniconv.nn.norm.magnitude import MPConv, MPLinear, mp_cat, mp_silu, mp_sum, pixel_norm
from omniconv.nn.norm.normalization import GroupNorm
from omniconv.nn.norm.spectral_norm import SpectralNormConv
from omniconv.nn.pad import Pad
from omniconv.nn.resampling.pool import AvgPool, GlobalAvgPool, LpPool, MaxPool
from omniconv.nn.resampling.resizing import Downsample, Resample, Upsample
from omniconv.nn.resampling.space_to_depth import DepthToSpace, Patchify, SpaceToDepth, Unpatchify
from omniconv.nn.resampling.unpool import MaxUnpool

__all__ = [
    "ASPP",
    "AvgPool",
    "ContextualAttention",
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvBlock",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CoordConv",
    "DepthToSpace",
    "DoubleConv",
    "Downsample",
    "FourierEmbedding",
    "GatedConv",
    "GlobalAvgPool",
    "GroupNorm",
    "LabelEmbedding",
    "LpPool",
    "MPConv",
    "MPLinear",
    "MaxPool",
    "MaxUnpool",
    "NormScaleShift",
    "OutputHead",
    "Pad",
    "PartialConv",
    "Patchify",
    "Resample",
    "ResidualBlock",
    "ScaleShift",
    "SelfAttention",
    "SeparableConv",
    "SinusoidalEmbedding",
    "SpaceToDepth",
    "SpectralNormConv",
    "Unpatchify",
    "UpBlock",
    "Upsample",
    "mp_cat",
    "mp_silu",
    "mp_sum",
    "pixel_norm",
]
