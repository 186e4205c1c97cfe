"""Converted functions are flat ones on a picture that goes on far past its edges, cut out of the middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from turning import picture

import omniconv as oc
from omniconv.arithmetic import span
from omniconv.surfaces.neighbours.border import border_index

MARGIN = 12
MODES = {"over": "pole", "replicate": "replicate", "reflect": "reflect"}


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def going_on(x, poles, margin=MARGIN):
    """The picture with ``margin`` more samples on every side, by the slow definition of a border."""
    height, width = x.shape[-2:]
    rows, is_rolled, _ = border_index(np.arange(-margin, height + margin), height, MODES[poles])
    columns = np.arange(-margin, width + margin) % width
    place = (columns[None, :] + np.where(is_rolled, width // 2, 0)[:, None]) % width
    return x[..., torch.from_numpy(rows)[:, None], torch.from_numpy(place)]


class Calls(nn.Module):
    """A network of one call."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FUNCTIONS = {
    "conv2d": lambda x: F.conv2d(x, drawn(4, 3, 3, 3), drawn(4), padding=1),
    "conv2d of stride 2": lambda x: F.conv2d(x, drawn(6, 1, 5, 3), None, 2, (2, 1), 1, 3),
    "conv2d dilated": lambda x: F.conv2d(x, drawn(4, 3, 3, 3), None, 1, "same", 3),
    "conv2d of even size": lambda x: F.conv2d(x, drawn(4, 3, 4, 4), None, 1, "same"),
    "conv2d patches": lambda x: F.conv2d(x, drawn(4, 3, 4, 4), None, 4),
    "padded on one side": lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), drawn(4, 3, 3, 3), None, 2),
    "padded on the other": lambda x: F.conv2d(F.pad(x, (3, 0, 1, 2), mode="reflect"), drawn(4, 3, 4, 4)),
    "padded twice": lambda x: F.conv2d(F.pad(x, (1, 0, 1, 0)).relu(), drawn(4, 3, 4, 4), padding=1),
    "padded thrice": lambda x: F.avg_pool2d(F.pad(F.pad(x, (1, 1, 1, 1)) * 2, (0, 1, 0, 1)), 4, 1),
    "padded and cut in part": lambda x: F.conv2d(F.pad(x, (3, 3, 3, 3))[:, ..., 1:-1, 2:-2], drawn(4, 3, 5, 3)),
    "padded in height": lambda x: F.conv2d(F.pad(x, (0, 0, 1, 1)), drawn(4, 3, 3, 1)),
    "padded too much": lambda x: F.conv2d(F.pad(x, (2, 2, 2, 2)), drawn(4, 3, 3, 3))[..., 1:-1, 1:-1],
    "transposed": lambda x: F.conv_transpose2d(x, drawn(3, 4, 4, 4), drawn(4), 2, 1),
    "transposed and more": lambda x: F.conv_transpose2d(x, drawn(3, 2, 3, 3), None, 2, 1, 1, 1),
    "transposed in groups": lambda x: F.conv_transpose2d(x, drawn(3, 2, 3, 3), None, 1, 2, 0, 3, 2),
    "transposed in patches": lambda x: F.conv_transpose2d(x, drawn(3, 4, 2, 2), None, 2),
    "transposed wide": lambda x: F.conv_transpose2d(x, drawn(3, 4, 7, 7), None, 3, 2),
    "transposed and cut": lambda x: F.conv_transpose2d(x, drawn(3, 4, 5, 5), None, 2)[..., 2:-1, 1:-2],
    "transposed of padded": lambda x: F.conv_transpose2d(F.pad(x, (1, 1, 1, 1)), drawn(3, 4, 4, 4), None, 2, 3),
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool2d dilated": lambda x: F.max_pool2d(x, 3, 1, 1, 1) + F.max_pool2d(F.pad(x, (1,) * 4), 3, 1, 1, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool2d by another number": lambda x: F.avg_pool2d(x, (3, 5), 1, (1, 2), divisor_override=4),
    "lp_pool2d": lambda x: F.lp_pool2d(x.abs(), 3, 3, 2, ceil_mode=True),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest-exact": lambda x: F.interpolate(x, scale_factor=0.5, mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear by 3/2": lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=False),
    "bilinear and smaller": lambda x: F.interpolate(x, scale_factor=0.25, mode="bilinear"),
    "bilinear by means": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
    "bicubic": lambda x: F.interpolate(x, scale_factor=4, mode="bicubic"),
    "bicubic by means": lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True),
    "area": lambda x: F.interpolate(x, scale_factor=0.5, mode="area"),
    "unfold": lambda x: F.unfold(x, 3, padding=1, stride=2).unflatten(2, (x.shape[2] // 2, x.shape[3] // 2)),
    "fold": lambda x: F.fold(x.repeat(1, 9, 1, 1).flatten(2), x.shape[2:], 3, padding=1),
    "without a batch": lambda x: F.conv2d(F.pad(x[0], (1, 0, 1, 0)), drawn(4, 3, 3, 3), padding=1)[None, :, 1:, 1:],
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
}  # fmt: skip


SPREADING = ("transposed", "fold")
"""Beginnings of the names of adjoints: over a pole they send back what they spread there."""
BY_MEANS = ("bilinear", "bicubic")
"""Of resizings: where rows end, they end at their edge samples, whatever else is past them."""


def cases():
    for name in FUNCTIONS:
        for poles in MODES:
            if poles == "over" or not name.startswith(BY_MEANS):
                yield name, poles


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("name", "poles"), list(cases()))
def test_function_is_that_of_a_picture_that_goes_on(name, poles):
    x = picture(height=24, width=24)
    flat = FUNCTIONS[name]
    y = oc.convert.to_equirectangular(Calls(flat), poles=poles)(x)
    far = flat(going_on(x, poles))
    above, left = (MARGIN * size // 24 for size in y.shape[2:])
    expected = far[..., above : above + y.shape[2], left : left + y.shape[3]]
    rows = slice(y.shape[2] // 4, -y.shape[2] // 4) if name.startswith(SPREADING) else slice(None)
    torch.testing.assert_close(y[:, :, rows], expected[:, :, rows])


@pytest.mark.parametrize("poles", ["over", "zeros", "replicate", "reflect"])
@pytest.mark.parametrize(("kernel", "stride", "padding", "more"), [(4, 2, 1, 0), (3, 2, 1, 1), (5, 1, 2, 0)])
def test_transposed_convolution_is_that_of_omniconv(kernel, stride, padding, more, poles):
    flat = nn.ConvTranspose2d(3, 4, kernel, stride, padding, more).double()
    sides = (padding, kernel - stride - padding)
    ours = oc.nn.ConvTranspose(3, 4, kernel, stride, [sides, sides], surface=oc.Equirectangular(poles)).double()
    ours.load_state_dict(flat.state_dict())
    x = picture(height=6, width=12)
    y = oc.convert.to_equirectangular(flat, poles=poles)(x)
    torch.testing.assert_close(y, ours(x, output_size=(6 * stride, 12 * stride)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_convolution_is_that_of_a_picture_that_goes_on(data):
    """Padding before it and its own, whichever way they are shared out."""
    kernel, dilation, stride = (data.draw(st.integers(1, most)) for most in (4, 2, 2))
    sides = [data.draw(st.integers(0, 3)) for _ in range(2)]
    own = data.draw(st.integers(0, 2))
    reach = span(kernel, dilation)
    if sum(sides) + 2 * own < reach - stride:
        sides[1] += reach
    weight = drawn(2, 3, kernel, kernel)

    def flat(x):
        return F.conv2d(F.pad(x, (*sides, *sides)), weight, None, stride, own, dilation)

    x = picture(height=12, width=12, batch=1)
    y = oc.convert.to_equirectangular(Calls(flat))(x)
    far = flat(going_on(x, "over"))
    start = MARGIN // stride
    torch.testing.assert_close(y, far[..., start : start + y.shape[2], start : start + y.shape[3]])


def test_corners_stay_near_where_they_were():
    """A wave, twice as large: between the places of both ways there is a quarter of a sample at most."""
    x = torch.sin(torch.arange(32, dtype=torch.float64) * torch.pi / 16).expand(1, 1, 16, 32)

    def flat(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    y = oc.convert.to_equirectangular(Calls(flat))(x)
    difference = (y - flat(x)).abs()[..., 4:-4, 1:-1]  # what is left are the places, not what lies past the edges
    assert difference.max() < 0.25 * torch.pi / 16
    assert difference[..., 30:34].max() < 0.02 * torch.pi / 16


def test_inside_nothing_changes():
    flat = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.Upsample(scale_factor=2)).double()
    x = picture(height=32, width=32)
    before = flat(x)
    after = oc.convert.to_equirectangular(flat)(x)
    assert torch.equal(before[..., 4:-4, 4:-4], after[..., 4:-4, 4:-4])
    assert not torch.equal(before, after)


def test_padding_of_channels_and_of_what_is_no_picture_stays():
    def flat(x):
        tokens = F.pad(x.flatten(2).transpose(1, 2).flatten(1), (2, 1), value=4.0)
        signals = F.pad(x.flatten(2), (3, 0)), F.pad(x.flatten(2).transpose(1, 2), (0, 0, 1, 0))
        return (
            tokens,
            *signals,
            F.pad(x, (0, 0, 0, 0, 1, 2), value=7.0),
            F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 1, 0, 1)),
        )

    x = picture()
    for one, other in zip(flat(x), oc.convert.to_equirectangular(Calls(flat))(x), strict=True):
        assert torch.equal(one, other)


def test_masks_of_whole_numbers_are_padded_too():
    x = torch.arange(32).view(1, 1, 4, 8)
    y = oc.convert.to_equirectangular(Calls(lambda x: F.pad(x, (1, 1))))(x)
    assert y[0, 0, 0].tolist() == [7, *range(8), 0]


def test_numbers_that_pad_remain_where_there_is_nothing_over_the_pole():
    y = oc.convert.to_equirectangular(Calls(lambda x: F.pad(x, (1, 1, 1, 1), value=5.0)), poles="zeros")(picture())
    assert (y[:, :, [0, -1]] == 5).all()
    assert torch.equal(y[:, :, 1:-1, 0], y[:, :, 1:-1, -2])
