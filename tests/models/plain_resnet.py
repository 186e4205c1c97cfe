"""ResNet of plain ``torch.nn`` layers with torchvision's names, padding and dilation: the reference of the tests."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Basic block or bottleneck, by ``expansion``."""

    def __init__(self, before, width, expansion, stride, dilations):
        super().__init__()
        first, second = dilations
        if expansion == 1:
            kernels = [(before, width, 3, stride, first), (width, width, 3, 1, second)]
        else:
            after = width * expansion
            kernels = [(before, width, 1, 1, 1), (width, width, 3, stride, first), (width, after, 1, 1, 1)]
        self.count = len(kernels)
        for number, (inputs, outputs, kernel, step, dilation) in enumerate(kernels, 1):
            conv = nn.Conv2d(inputs, outputs, kernel, step, dilation * (kernel // 2), dilation, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
        if stride > 1 or before != width * expansion:
            across = nn.Conv2d(before, width * expansion, 1, stride, bias=False)
            self.downsample = nn.Sequential(across, nn.BatchNorm2d(width * expansion))

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = y.relu() if number < self.count else y
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class PlainResNet(nn.Module):
    """``forward`` returns the logits; ``features`` the signals of stem and stages."""

    def __init__(self, in_channels, classes, depths, expansion, width=64, output_stride=32):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before, total, dilation = width, 4, 1
        for stage, depth in enumerate(depths):
            stride, previous = (2 if stage else 1), dilation
            if total * stride > output_stride:
                stride, dilation = 1, dilation * 2
            total *= stride
            blocks = []
            for number in range(depth):
                options = (stride, (previous, dilation)) if number == 0 else (1, (dilation, dilation))
                blocks.append(Block(before, width * 2**stage, expansion, *options))
                before = width * 2**stage * expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, classes)

    def features(self, x):
        signals = [self.bn1(self.conv1(x)).relu()]
        x = nn.functional.max_pool2d(signals[0], 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            signals.append(x)
        return signals

    def forward(self, x):
        return self.fc(self.features(x)[-1].mean((2, 3)))


def randomized(network, seed=0):
    """Give every parameter and statistic a random value, so that no term of the forward pass is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            if value.ndim > 1:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(noise.abs() * 0.3 + 0.7 if "running_var" in name else 0.7 + 0.2 * noise)
    return network
