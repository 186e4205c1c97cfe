"""Overrides agree with torch's functions on an image that is padded far beyond its edges, cropped to the middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from roll_equivariance import noise_image
from torch import nn

import omniconv as oc
from omniconv.arithmetic import span
from omniconv.surfaces.neighbours.border import border_index

MARGIN = 12
MODES = {"over": "pole", "replicate": "replicate", "reflect": "reflect"}


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def padded_far(x, poles, margin=MARGIN):
    """Return the image with ``margin`` samples on every side, by the definition of a border, index by index."""
    height, width = x.shape[-2:]
    rows, is_rolled, _ = border_index(np.arange(-margin, height + margin), height, MODES[poles])
    columns = np.arange(-margin, width + margin) % width
    index = (columns[None, :] + np.where(is_rolled, width // 2, 0)[:, None]) % width
    return x[..., torch.from_numpy(rows)[:, None], torch.from_numpy(index)]


class Calls(nn.Module):
    """Network that calls one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FUNCTIONS = {
    "conv2d": lambda x: F.conv2d(x, randn(4, 3, 3, 3), randn(4), padding=1),
    "conv2d of stride 2": lambda x: F.conv2d(x, randn(6, 1, 5, 3), None, 2, (2, 1), 1, 3),
    "conv2d dilated": lambda x: F.conv2d(x, randn(4, 3, 3, 3), None, 1, "same", 3),
    "conv2d of even size": lambda x: F.conv2d(x, randn(4, 3, 4, 4), None, 1, "same"),
    "conv2d patches": lambda x: F.conv2d(x, randn(4, 3, 4, 4), None, 4),
    "padded on one side": lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), randn(4, 3, 3, 3), None, 2),
    "padded on the other": lambda x: F.conv2d(F.pad(x, (3, 0, 1, 2), mode="reflect"), randn(4, 3, 4, 4)),
    "padded twice": lambda x: F.conv2d(F.pad(x, (1, 0, 1, 0)).relu(), randn(4, 3, 4, 4), padding=1),
    "padded three times": lambda x: F.avg_pool2d(F.pad(F.pad(x, (1, 1, 1, 1)) * 2, (0, 1, 0, 1)), 4, 1),
    "padded and cropped in part": lambda x: F.conv2d(F.pad(x, (3, 3, 3, 3))[:, ..., 1:-1, 2:-2], randn(4, 3, 5, 3)),
    "padded in height": lambda x: F.conv2d(F.pad(x, (0, 0, 1, 1)), randn(4, 3, 3, 1)),
    "padded too much": lambda x: F.conv2d(F.pad(x, (2, 2, 2, 2)), randn(4, 3, 3, 3))[..., 1:-1, 1:-1],
    "transposed": lambda x: F.conv_transpose2d(x, randn(3, 4, 4, 4), randn(4), 2, 1),
    "transposed with output_padding": lambda x: F.conv_transpose2d(x, randn(3, 2, 3, 3), None, 2, 1, 1, 1),
    "transposed in groups": lambda x: F.conv_transpose2d(x, randn(3, 2, 3, 3), None, 1, 2, 0, 3, 2),
    "transposed in patches": lambda x: F.conv_transpose2d(x, randn(3, 4, 2, 2), None, 2),
    "transposed wide": lambda x: F.conv_transpose2d(x, randn(3, 4, 7, 7), None, 3, 2),
    "transposed and cropped": lambda x: F.conv_transpose2d(x, randn(3, 4, 5, 5), None, 2)[..., 2:-1, 1:-2],
    "transposed of padded": lambda x: F.conv_transpose2d(F.pad(x, (1, 1, 1, 1)), randn(3, 4, 4, 4), None, 2, 3),
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool2d dilated": lambda x: F.max_pool2d(x, 3, 1, 1, 1) + F.max_pool2d(F.pad(x, (1,) * 4), 3, 1, 1, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool2d with a divisor": lambda x: F.avg_pool2d(x, (3, 5), 1, (1, 2), divisor_override=4),
    "lp_pool2d": lambda x: F.lp_pool2d(x.abs(), 3, 3, 2, ceil_mode=True),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest-exact": lambda x: F.interpolate(x, scale_factor=0.5, mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear by 3/2": lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=False),
    "bilinear downsampling": lambda x: F.interpolate(x, scale_factor=0.25, mode="bilinear"),
    "bilinear with antialias": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=4, mode="bicubic"),
    "bicubic with antialias": lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True),
    "area": lambda x: F.interpolate(x, scale_factor=0.5, mode="area"),
    "unfold": lambda x: F.unfold(x, 3, padding=1, stride=2).unflatten(2, (x.shape[2] // 2, x.shape[3] // 2)),
    "fold": lambda x: F.fold(x.repeat(1, 9, 1, 1).flatten(2), x.shape[2:], 3, padding=1),
    "without a batch": lambda x: F.conv2d(F.pad(x[0], (1, 0, 1, 0)), randn(4, 3, 3, 3), padding=1)[None, :, 1:, 1:],
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
}  # fmt: skip


ADJOINTS = ("transposed", "fold")
"""Names of adjoints start so: values beyond a pole are added to rows near it, so these rows are not compared."""
INTERPOLATIONS = ("bilinear", "bicubic")
"""Names of interpolations start so: they replicate the edge rows, except with poles="over"."""


def cases():
    for name in FUNCTIONS:
        for poles in MODES:
            if poles == "over" or not name.startswith(INTERPOLATIONS):
                yield name, poles


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("name", "poles"), list(cases()))
def test_function_agrees_with_torch_on_a_padded_image(name, poles):
    x = noise_image(height=24, width=24)
    flat = FUNCTIONS[name]
    y = oc.convert.to_equirectangular(Calls(flat), poles=poles)(x)
    far = flat(padded_far(x, poles))
    above, left = (MARGIN * size // 24 for size in y.shape[2:])
    expected = far[..., above : above + y.shape[2], left : left + y.shape[3]]
    rows = slice(y.shape[2] // 4, -y.shape[2] // 4) if name.startswith(ADJOINTS) else slice(None)
    torch.testing.assert_close(y[:, :, rows], expected[:, :, rows])


ROW_FUNCTIONS = FUNCTIONS | {
    "avg_pool2d in ceil_mode": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool2d of samples only": lambda x: F.avg_pool2d(x, 5, 2, 2, ceil_mode=True, count_include_pad=False),
    "max_pool2d in ceil_mode": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "lp_pool2d in ceil_mode": lambda x: F.lp_pool2d(x, 2, 3, 2, ceil_mode=True),
    "reflected, then zeros": lambda x: F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), randn(4, 3, 5, 5), padding=1),
    "replicated": lambda x: F.conv2d(F.pad(x, (2, 2, 2, 2), "replicate"), randn(4, 3, 5, 5)),
    "circular": lambda x: F.conv2d(F.pad(x, (2, 2, 2, 2), "circular"), randn(4, 3, 5, 5)),
    "another constant": lambda x: F.conv2d(F.pad(x, (1, 1, 1, 1), value=3.0), randn(4, 3, 3, 3)),
    "without padding of rows": lambda x: F.conv2d(x, randn(4, 3, 3, 3), padding=(0, 1)),
    "transposed with a surplus": lambda x: F.conv_transpose2d(x, randn(3, 4, 5, 5), None, 2, 1),
    "transposed with a lack": lambda x: F.conv_transpose2d(x, randn(3, 4, 3, 3), None, 3, 2, 1),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::omniconv.convert.SeamWarning")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", ROW_FUNCTIONS)
def test_by_default_columns_far_from_the_cut_are_those_of_the_flat_network_on_all_rows(name):
    x = noise_image(height=24, width=48)
    flat = ROW_FUNCTIONS[name](x)
    converted = oc.convert.to_equirectangular(Calls(ROW_FUNCTIONS[name]))(x)
    assert converted.shape == flat.shape
    inner = slice(flat.shape[-1] // 4, -flat.shape[-1] // 4)
    torch.testing.assert_close(converted[..., inner], flat[..., inner])


@pytest.mark.parametrize("poles", ["over", "zeros", "replicate", "reflect"])
@pytest.mark.parametrize(("kernel", "stride", "padding", "more"), [(4, 2, 1, 0), (3, 2, 1, 1), (5, 1, 2, 0)])
def test_transposed_convolution_agrees_with_omniconv(kernel, stride, padding, more, poles):
    flat = nn.ConvTranspose2d(3, 4, kernel, stride, padding, more).double()
    sides = (padding, kernel - stride - padding)
    ours = oc.nn.ConvTranspose(3, 4, kernel, stride, [sides, sides], surface=oc.Equirectangular(poles)).double()
    ours.load_state_dict(flat.state_dict())
    x = noise_image(height=6, width=12)
    y = oc.convert.to_equirectangular(flat, poles=poles)(x)
    torch.testing.assert_close(y, ours(x, output_size=(6 * stride, 12 * stride)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_convolution_agrees_with_torch_on_a_padded_image(data):
    """Total padding divided in any way between F.pad and the convolution's own argument."""
    kernel, dilation, stride = (data.draw(st.integers(1, most)) for most in (4, 2, 2))
    sides = [data.draw(st.integers(0, 3)) for _ in range(2)]
    own = data.draw(st.integers(0, 2))
    reach = span(kernel, dilation)
    if sum(sides) + 2 * own < reach - stride:
        sides[1] += reach
    weight = randn(2, 3, kernel, kernel)

    def flat(x):
        return F.conv2d(F.pad(x, (*sides, *sides)), weight, None, stride, own, dilation)

    x = noise_image(height=12, width=12, batch=1)
    y = oc.convert.to_equirectangular(Calls(flat), poles="over")(x)
    far = flat(padded_far(x, "over"))
    start = MARGIN // stride
    torch.testing.assert_close(y, far[..., start : start + y.shape[2], start : start + y.shape[3]])


def test_align_corners_moves_samples_by_less_than_a_quarter():
    """A sine wave at twice the size: sample positions with and without align_corners differ by at most a quarter."""
    x = torch.sin(torch.arange(32, dtype=torch.float64) * torch.pi / 16).expand(1, 1, 16, 32)

    def flat(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    y = oc.convert.to_equirectangular(Calls(flat), poles="over")(x)
    difference = (y - flat(x)).abs()[..., 4:-4, 1:-1]  # without what depends on samples beyond the edges
    assert difference.max() < 0.25 * torch.pi / 16
    assert difference[..., 30:34].max() < 0.02 * torch.pi / 16


def test_outputs_away_from_edges_stay():
    flat = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.Upsample(scale_factor=2)).double()
    x = noise_image(height=32, width=32)
    before = flat(x)
    after = oc.convert.to_equirectangular(flat)(x)
    torch.testing.assert_close(before[..., 4:-4, 4:-4], after[..., 4:-4, 4:-4], rtol=1e-12, atol=1e-13)
    assert (before - after).abs().max() > 1e-3


def test_padding_of_channels_and_sequences_stays():
    def flat(x):
        tokens = F.pad(x.flatten(2).transpose(1, 2).flatten(1), (2, 1), value=4.0)
        signals = F.pad(x.flatten(2), (3, 0)), F.pad(x.flatten(2).transpose(1, 2), (0, 0, 1, 0))
        return (
            tokens,
            *signals,
            F.pad(x, (0, 0, 0, 0, 1, 2), value=7.0),
            F.pad(x.permute(0, 2, 3, 1), (0, 1, 0, 0, 0, 1)),
        )

    x = noise_image()
    for one, other in zip(flat(x), oc.convert.to_equirectangular(Calls(flat))(x), strict=True):
        assert torch.equal(one, other)


def test_integer_masks_are_padded_too():
    x = torch.arange(32).view(1, 1, 4, 8)
    y = oc.convert.to_equirectangular(Calls(lambda x: F.pad(x, (1, 1))))(x)
    assert y[0, 0, 0].tolist() == [7, *range(8), 0]


def test_pad_value_is_used_beyond_zeros_poles():
    y = oc.convert.to_equirectangular(Calls(lambda x: F.pad(x, (1, 1, 1, 1), value=5.0)), poles="zeros")(noise_image())
    assert (y[:, :, [0, -1]] == 5).all()
    assert torch.equal(y[:, :, 1:-1, 0], y[:, :, 1:-1, -2])
