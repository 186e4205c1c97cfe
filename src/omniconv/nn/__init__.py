"""Layers on every surface."""

from omniconv.nn.blocks import ConvBlock, DoubleConv, OutputHead, UpBlock
from omniconv.nn.convolution import Conv, ConvTranspose
from omniconv.nn.flat import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from omniconv.nn.pooling import AvgPool, GlobalAvgPool, MaxPool
from omniconv.nn.resizing import Upsample

__all__ = [
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
    "DoubleConv",
    "GlobalAvgPool",
    "MaxPool",
    "OutputHead",
    "UpBlock",
    "Upsample",
]
