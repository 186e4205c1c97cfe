"""Networks that put columns of the other side beside an image themselves: followed, or recognised with one warning."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from roll_equivariance import noise_image, randomized, roll_error
from torch import nn

import omniconv as oc
from omniconv.errors import InputError


def cat(x):
    return torch.cat([x[..., -1:], x, x[..., :1]], 3)


def narrowed(x):
    return torch.concat([x.narrow(3, x.shape[3] - 1, 1), x, x.narrow(-1, 0, 1)], dim=-1)


def one_side_after_the_other(x):
    x = torch.cat([x[:, :, :, -1:], x], 3)
    return torch.cat([x, x[..., 1:2]], 3)


def tiled(x):
    return torch.cat([x, x, x], 3)[..., x.shape[3] - 1 : 2 * x.shape[3] + 1]


def rolled(x):
    return torch.cat([torch.roll(x, 1, 3)[..., :1], x, x.roll(-1, -1)[..., -1:]], 3)


def index_list(x):
    return x[..., [x.shape[3] - 1, *range(x.shape[3]), 0]]


def index_tensor(x):
    return x[:, :, :, torch.arange(-1, x.shape[3] + 1) % x.shape[3]]


def index_select(x):
    return x.index_select(3, torch.arange(-1, x.shape[3] + 1) % x.shape[3])


def split(x):
    first, middle, last = x.split([1, x.shape[3] - 2, 1], 3)
    return torch.cat([last, first, middle, last, first], 3)


def gathered(x):
    index = torch.arange(-1, x.shape[3] + 1) % x.shape[3]
    return torch.gather(x, 3, index.expand(*x.shape[:3], -1))


def assigned(x):
    y = x.new_zeros(*x.shape[:3], x.shape[3] + 2)
    y[..., 1:-1], y[..., 0], y[..., -1] = x, x[..., -1], x[..., 0]
    return y


class Wrapping(nn.Module):
    """Convolutions without padding along the columns, which ``wrap`` continues by one on each side."""

    def __init__(self, wrap, rows=1):
        super().__init__()
        torch.manual_seed(0)
        self.wrap = wrap
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=(rows, 0)), nn.Conv2d(4, 3, 3, padding=(rows, 0))

    def forward(self, x):
        return self.last(self.wrap(self.first(self.wrap(x)).relu()))


def repeated_rows(x):
    x = cat(x)
    return torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)


def rows_over_the_poles(x):
    half = x.shape[3] // 2
    return cat(torch.cat([x[:, :, :1].roll(half, 3), x, x[:, :, -1:].roll(half, 3)], 2))


def zero_rows(x):
    return F.pad(cat(x), (0, 0, 1, 1))


class WrappedOnce(nn.Module):
    """Continues the image once, and crops the output."""

    def __init__(self, stride=1):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, stride, 1), nn.Conv2d(4, 3, 3, padding=1)
        self.stride = stride

    def forward(self, x):
        y = self.last(self.first(torch.cat([x[..., -8:], x, x[..., :8]], 3)).relu())
        return y[..., 8 // self.stride : -8 // self.stride]


COMPILED = [cat, narrowed, one_side_after_the_other, tiled, rolled, index_list, split]
FOLLOWED = {kind.__name__: Wrapping(kind) for kind in (*COMPILED, index_tensor, index_select)}
FOLLOWED |= {kind.__name__: Wrapping(kind, 0) for kind in (repeated_rows, rows_over_the_poles, zero_rows)}
FOLLOWED |= {"wrapped_once": WrappedOnce(), "wrapped_once_with_stride": WrappedOnce(2)}


@pytest.mark.parametrize("network", FOLLOWED.values(), ids=list(FOLLOWED))
def test_columns_put_on_by_hand_are_followed(network):
    network, x = randomized(network), noise_image()
    y = network(x)
    assert roll_error(network, x, 6) < 1e-12
    converted, report = oc.convert.to_equirectangular(network, copy=True, report=True, size=(16, 32))
    assert not [str(finding) for finding in report if finding.seam]
    assert roll_error(converted, x, 6) < 1e-12  # warnings are errors
    torch.testing.assert_close(converted(x)[:, :, 4:-4], y[:, :, 4:-4])


@pytest.mark.parametrize("wrap", [cat, index_tensor])
def test_wrapping_by_hand_gives_the_numbers_of_circular_padding(wrap):
    by_hand, padded = (
        oc.convert.to_equirectangular(randomized(Wrapping(one)))
        for one in (wrap, lambda x: F.pad(x, (1, 1, 0, 0), mode="circular"))
    )
    torch.testing.assert_close(by_hand(noise_image()), padded(noise_image()))


@pytest.mark.parametrize("wrap", [gathered, assigned])
def test_wrapping_that_cannot_be_followed_is_recognised_with_one_warning(wrap):
    network, x = randomized(Wrapping(wrap)), noise_image()
    kept, report = oc.convert.to_equirectangular(network, copy=True, report=True, size=(16, 32))
    assert not report.seams  # warnings are errors
    torch.testing.assert_close(kept(x), network(x))  # on its own rows it may run as before
    converted = oc.convert.to_equirectangular(network, copy=True, poles="over")
    with pytest.warns(oc.convert.SeamWarning, match="wraps by itself, so do not convert it") as caught:
        converted(x)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oc.convert.SeamWarning)
        _, report = oc.convert.to_equirectangular(network, poles="over", report=True, size=(16, 32))
    assert re.search("was equivariant to rolling .* before it was converted.*do not convert it", str(report[0]))


def test_seam_of_a_flat_network_is_not_taken_for_wrapping():
    _, report = oc.convert.to_equirectangular(nn.Sequential(nn.Conv2d(3, 4, 3)), report=True, size=(16, 32))
    assert not any("wraps by itself" in finding.reason for finding in report)


@pytest.mark.parametrize("kind", COMPILED, ids=lambda kind: kind.__name__)
def test_wrapping_by_hand_is_followed_in_exported_networks(kind):
    network, x = oc.convert.to_equirectangular(randomized(Wrapping(kind))), noise_image()
    torch.testing.assert_close(torch.export.export(network, (x,), strict=False).module()(x), network(x))


@pytest.mark.parametrize("kind", [cat, split])
def test_wrapping_by_hand_is_followed_in_compiled_networks(kind):
    network, x = oc.convert.to_equirectangular(randomized(Wrapping(kind))), noise_image()
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(network, backend="eager", fullgraph=True)(x), network(x))


def test_wrapping_by_hand_is_followed_at_dynamic_sizes():
    network = oc.convert.to_equirectangular(randomized(Wrapping(cat)))
    half = torch.export.Dim("half", min=4, max=512)
    shapes = ({2: 2 * half, 3: 4 * half},)
    program = torch.export.export(network, (noise_image(),), dynamic_shapes=shapes, strict=False).module()
    x = noise_image(height=24, width=48)
    torch.testing.assert_close(program(x), network(x))


def test_index_tensors_are_refused_where_their_values_are_unknown():
    network = oc.convert.to_equirectangular(randomized(Wrapping(index_tensor)))
    with pytest.raises(InputError, match=r"columns of an image by a tensor, whose values are unknown.*use torch.cat"):
        torch.export.export(network, (noise_image(),), strict=False)


def test_images_that_are_not_continued_keep_their_columns():
    """Two images beside one another, tokens and channels are no continuation."""
    x = noise_image()
    flat = nn.Conv2d(3, 4, 3, padding=1).double()

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = flat

        def forward(self, x):
            beside = self.conv(torch.cat([x, x.flip(-1)], 3))
            return beside.chunk(2, 3)[0], self.conv(torch.cat([x[:, :1], x[:, 1:]], 1)), x.flatten(2)[..., [0, 1, 2]]

    beside, same, tokens = oc.convert.to_equirectangular(Pair())(x)
    circular = oc.convert.to_equirectangular(flat)
    torch.testing.assert_close(beside, circular(torch.cat([x, x.flip(-1)], 3))[..., :32])
    torch.testing.assert_close(same, circular(x))
    torch.testing.assert_close(tokens, x.flatten(2)[..., :3])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([x, x], axis=1),
        lambda x: torch.concatenate([x[..., -1:], x, x[..., :1]], axis=-1),
        lambda x: x.chunk(2, axis=-1)[1],
        lambda x: x.narrow(axis=-1, start=0, length=2),
        lambda x: torch.index_select(x, axis=-1, index=torch.tensor([0, 1])),
    ],
    ids=["cat", "concatenate", "chunk", "narrow", "index_select"],
)
def test_numpys_name_of_dim(function):
    class Network(nn.Module):
        def forward(self, x):
            return function(x)

    x = torch.arange(64.0).reshape(1, 2, 4, 8)
    network = nn.Sequential(nn.Conv2d(2, 2, 1), Network())
    expected = network(x)
    assert torch.allclose(oc.convert.to_equirectangular(network)(x), expected)
