from __future__ import annotations

import pytest
import torch
from torch import nn

from omniconv.errors import InputError
from omniconv.nn import Conv, ConvBlock, ConvTranspose, DoubleConv, OutputHead, ResidualBlock, UpBlock, Upsample
from omniconv.nn.blocks import ACTIVATIONS, activation_layer, up_channels
from omniconv.nn.norm.normalization import norm_layer
from omniconv.nn.stencil.modules import concatenate
from omniconv.surfaces import Equirectangular, Icosphere, Plane

SURFACES = {
    Plane(1): (9,), Plane(2): (9, 10), Plane(3): (5, 4, 6), Equirectangular(): (8, 16), Icosphere(2): (162,)
}  # fmt: skip


def signal(surface, channels=4):
    return torch.randn(2, channels, *SURFACES[surface])


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_conv_block_is_conv_norm_activation(surface, activation):
    block = ConvBlock(4, 6, activation=activation, surface=surface).eval()
    conv, norm, active = block
    x = signal(surface)
    torch.testing.assert_close(block(x), active(norm(conv(x))))
    assert conv.bias is None
    assert block(x).shape == (2, 6, *SURFACES[surface])


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_stride_two_gives_the_coarser_surface(surface):
    block = ConvBlock(4, 6, stride=2, normalization="none", surface=surface)
    assert block.output_surface == surface.coarser()
    assert block[0].bias is not None
    assert DoubleConv(6, 3, surface=block.output_surface)(block(signal(surface))).shape[1] == 3


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_residual_block_without_its_convolutions_is_the_shortcut(surface):
    x, block, strided = signal(surface), ResidualBlock(4, 4, surface=surface), ResidualBlock(4, 6, 2, surface=surface)
    for last in (block.second[1], strided.second[1]):
        nn.init.zeros_(last.weight)
    assert block.shortcut is None
    assert torch.equal(block(x), x.relu())
    assert strided.output_surface == surface.coarser()
    torch.testing.assert_close(strided(x), strided.shortcut(x).relu())


def test_residual_block_of_normalized_weights_keeps_the_variance():
    torch.manual_seed(0)
    block = ResidualBlock(16, 16, normalization="weight", activation="none")
    assert block(torch.randn(4, 16, 24, 24))[..., 4:-4, 4:-4].detach().std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize(("up", "channels"), [("linear", 8), ("transposed", 4)])
def test_up_block_merges_with_the_skip(surface, up, channels):
    coarse = ConvBlock(4, 8, stride=2, surface=surface)
    assert up_channels(8, up) == channels
    block = UpBlock(8, DoubleConv(4 + channels, 5, surface=surface), up, surface.coarser())
    x = signal(surface)
    assert block(coarse(x), x).shape == (2, 5, *SURFACES[surface])
    assert isinstance(block.up, Upsample if up == "linear" else ConvTranspose)


def test_up_block_concatenates_the_skip_first():
    block = UpBlock(2, nn.Identity())
    skip = torch.ones(1, 3, 4, 4)
    found = block(torch.full((1, 2, 2, 2), 5.0), skip)
    assert found[0, :, 0, 0].tolist() == [1, 1, 1, 5, 5]


def test_concatenation_keeps_meshes_channels_last():
    coarse, fine = torch.randn(2, 3, 42).mT.contiguous().mT, torch.randn(2, 4, 42).mT.contiguous().mT
    found = concatenate([coarse, fine])
    assert found.stride(1) == 1
    torch.testing.assert_close(found, torch.cat([coarse, fine], 1))
    assert concatenate([coarse.contiguous(), fine]).is_contiguous()


def test_transposed_up_block_is_that_of_the_original_unet():
    block = UpBlock(4, nn.Identity(), "transposed")
    x = torch.randn(1, 4, 3, 5)
    wanted = nn.functional.conv_transpose2d(x, block.up.weight, block.up.bias, stride=2)
    assert block.up.weight.shape == (4, 2, 2, 2)
    torch.testing.assert_close(block(x, torch.zeros(1, 0, 6, 10)), wanted)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_output_head_is_a_conv_with_optional_sigmoid(kernel_size):
    x = signal(Icosphere(2))
    head = OutputHead(4, 2, kernel_size, surface=Icosphere(2))
    squeezed = OutputHead(4, 2, kernel_size, sigmoid=True, surface=Icosphere(2))
    squeezed.load_state_dict(head.state_dict())
    assert [type(layer) for layer in head] == [Conv]
    torch.testing.assert_close(squeezed(x), head(x).sigmoid())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: norm_layer("layer", 4, 2),
            "normalization='layer': must be one of batch, group, weight, none; use 'batch'",
        ),
        (
            lambda: activation_layer("swish"),
            "activation='swish': must be one of relu, leaky_relu, elu, gelu",
        ),
        (lambda: up_channels(4, "nearest"), "up='nearest': must be one of linear, transposed; did you mean linear?"),
        (lambda: UpBlock(4, nn.Identity(), "nearest"), "up='nearest': must be one of linear, transposed"),
    ],
)
def test_unknown_names_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        build()
