"""Layers on every surface, as ``torch.nn.Module``.

A layer parses its arguments once (``arguments``), asks its surface for the neighbours of each output, and gets from
``dispatch`` the operator for this type of neighbours: ``grid`` (index shifts, the backend's dense operators),
``stencil`` (sparse operators on meshes) or ``rows`` (a kernel for each row of a panorama). Layers hold the parameters
and check their input; ``forward`` has no branch on the surface.

``conv``, ``pool``, ``unpool``, ``resizing`` and ``conv_nd`` (torch.nn's signatures on grids) are built so;
``coord_conv``, ``gated_conv``, ``partial_conv``, ``separable_conv``, ``aspp``, ``contextual_attention`` and ``blocks``
are composed of them. ``normalization`` and ``attention`` weight samples by area, ``magnitude`` and ``spectral_norm``
normalize weights; ``embeddings`` embeds noise levels and labels, and scales and shifts signals by an embedding;
``space_to_depth`` turns blocks of samples into channels and back.
``tables`` computes what follows from the surface alone and is neither parameter nor buffer.
``symbolic``, ``jit_tracing`` and ``torch_private`` gather the code for torch.export, for torch.jit and on private APIs
of torch.
"""

from omniconv.nn.aspp import ASPP
from omniconv.nn.attention import SelfAttention
from omniconv.nn.blocks import ConvBlock, DoubleConv, OutputHead, UpBlock
from omniconv.nn.contextual_attention import ContextualAttention
from omniconv.nn.conv import Conv, ConvTranspose
from omniconv.nn.conv_nd import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from omniconv.nn.coord_conv import CoordConv
from omniconv.nn.embeddings import FourierEmbedding, LabelEmbedding, NormScaleShift, ScaleShift, SinusoidalEmbedding
from omniconv.nn.gated_conv import GatedConv
from omniconv.nn.magnitude import MPConv, MPLinear, mp_cat, mp_silu, mp_sum, pixel_norm
from omniconv.nn.normalization import GroupNorm
from omniconv.nn.pad import Pad
from omniconv.nn.partial_conv import PartialConv
from omniconv.nn.pool import AvgPool, GlobalAvgPool, LpPool, MaxPool
from omniconv.nn.resizing import Downsample, Resample, Upsample
from omniconv.nn.separable_conv import SeparableConv
from omniconv.nn.space_to_depth import DepthToSpace, Patchify, SpaceToDepth, Unpatchify
from omniconv.nn.spectral_norm import SpectralNormConv
from omniconv.nn.unpool import MaxUnpool

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
