"""Layers on every surface."""

from omniconv.nn.aspp import ASPP
from omniconv.nn.blocks import ConvBlock, DoubleConv, OutputHead, UpBlock
from omniconv.nn.convolution import Conv, ConvTranspose
from omniconv.nn.coordinates import CoordConv
from omniconv.nn.flat import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from omniconv.nn.gated import GatedConv
from omniconv.nn.global_pooling import GlobalAvgPool
from omniconv.nn.pad import Pad
from omniconv.nn.pooling import AvgPool, LpPool, MaxPool
from omniconv.nn.resample import Resample
from omniconv.nn.resizing import Downsample, Upsample
from omniconv.nn.separable import SeparableConv
from omniconv.nn.unpooling import MaxUnpool

__all__ = [
    "ASPP",
    "AvgPool",
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
    "DoubleConv",
    "Downsample",
    "GatedConv",
    "GlobalAvgPool",
    "LpPool",
    "MaxPool",
    "MaxUnpool",
    "OutputHead",
    "Pad",
    "Resample",
    "SeparableConv",
    "UpBlock",
    "Upsample",
]
