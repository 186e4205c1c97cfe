"""Strided convolutions of one tap on images with few channels in channels_last memory."""

from __future__ import annotations

import pytest
import torch

import omniconv as oc


def _channels_last(x):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.to(memory_format=formats[x.ndim])


@pytest.mark.parametrize("surface", [oc.Plane(), oc.Equirectangular(), oc.Cubemap(16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradients_are_those_of_contiguous_images(surface, channels):
    conv = oc.nn.Conv(channels, 16, 1, stride=2, surface=surface)
    shape = (6, 16, 16) if surface == oc.Cubemap(16) else (32, 64)
    x = torch.randn(2, channels, *shape)
    results = []
    for one in (x, _channels_last(x)):
        one = one.clone(memory_format=torch.preserve_format).requires_grad_()
        y = conv(one)
        results.append((y.detach(), *torch.autograd.grad(y.square().sum(), (one, conv.weight, conv.bias))))
    for plain, last in zip(*results, strict=True):  # sums of some thousand values in another order
        torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-4)


def test_a_step_of_the_default_network_of_segmentation_in_channels_last():
    network = oc.models.UNet(3, 2, width=4, depth=2, stem_stride=2, residual=True)
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    network(x).square().mean().backward()  # crashed in oneDNN
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
