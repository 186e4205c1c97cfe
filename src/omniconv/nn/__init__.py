"""Layers on every surface."""

from omniconv.nn.aspp import ASPP
from omniconv.nn.blocks import ConvBlock, DoubleConv, OutputHead, UpBlock
from omniconv.nn.conv import Conv, ConvTranspose
from omniconv.nn.conv_nd import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from omniconv.nn.coord_conv import CoordConv
from omniconv.nn.gated_conv import GatedConv
from omniconv.nn.pad import Pad
from omniconv.nn.pool import AvgPool, GlobalAvgPool, LpPool, MaxPool
from omniconv.nn.resizing import Downsample, Resample, Upsample
from omniconv.nn.separable_conv import SeparableConv
from omniconv.nn.unpool import MaxUnpool

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
