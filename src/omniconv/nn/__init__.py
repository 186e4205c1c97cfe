"""Layers on every surface."""

from omniconv.nn.blocks import ConvBlock, DoubleConv, OutputHead, UpBlock
from omniconv.nn.convolution import Conv, ConvTranspose
from omniconv.nn.pooling import AvgPool, GlobalAvgPool, MaxPool
from omniconv.nn.resizing import Upsample

__all__ = [
    "AvgPool",
    "Conv",
    "ConvBlock",
    "ConvTranspose",
    "DoubleConv",
    "GlobalAvgPool",
    "MaxPool",
    "OutputHead",
    "UpBlock",
    "Upsample",
]
