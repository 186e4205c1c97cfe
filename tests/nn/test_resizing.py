from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.nn import Upsample
from omniconv.nn.grid.resize import resize
from omniconv.surfaces import Border, Equirectangular, Icosphere, Plane

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
MODES = ("zeros", "reflect", "replicate", "circular")
ROWS = ("pole", *MODES)


def random_signal(*shape, dtype=torch.float64):
    return torch.randn(2, 2, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@settings(deadline=None, max_examples=40)
@given(ndim=st.integers(1, 3), data=st.data(), mode=st.sampled_from(["linear", "nearest"]))
def test_upsampling_a_plane_equals_torch(ndim, data, mode):
    old = data.draw(st.tuples(*[st.integers(1, 5)] * ndim))
    new = tuple(data.draw(st.integers(size, 9)) for size in old)
    x = random_signal(*old)
    if mode == "linear":
        wanted = F.interpolate(x, new, mode=LINEAR[ndim], align_corners=False)
    else:
        wanted = F.interpolate(x, new, mode="nearest-exact")
    torch.testing.assert_close(resize(x, new, Border.of("zeros", ndim), mode), wanted)


@settings(deadline=None, max_examples=80)
@given(ndim=st.integers(1, 3), data=st.data(), mode=st.sampled_from(["linear", "nearest"]))
def test_constants_are_kept(ndim, data, mode):
    border = data.draw(st.sampled_from([Border.of(name, ndim) for name in ("zeros", "circular", "replicate")]))
    old, new = (data.draw(st.tuples(*[st.integers(1, 8)] * ndim)) for _ in range(2))
    found = resize(torch.full((1, 2, *old), 0.7, dtype=torch.float64), new, border, mode)
    assert found.shape == (1, 2, *new)
    torch.testing.assert_close(found, torch.full_like(found, 0.7))


@settings(deadline=None, max_examples=80)
@given(
    rows=st.sampled_from(ROWS), height=st.integers(1, 7), new_height=st.integers(1, 12), common=st.integers(1, 5),
    old=st.integers(1, 4), new=st.integers(1, 4), turns=st.integers(1, 3), mode=st.sampled_from(["linear", "nearest"]),
)  # fmt: skip
def test_resizing_commutes_with_rolls(rows, height, new_height, common, old, new, turns, mode):
    """From widths ``common · old`` to ``common · new`` a roll by ``old`` columns becomes a roll by ``new``."""
    border = Border.of((rows, "circular"), 2)
    x = random_signal(height, common * old)
    size = (new_height, common * new)
    turned = resize(x.roll(turns * old, -1), size, border, mode)
    torch.testing.assert_close(turned, resize(x, size, border, mode).roll(turns * new, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("old", "new"), [(8, 16), (16, 8), (8, 12), (9, 6), (5, 7)])
def test_resizing_over_the_pole_is_resizing_of_the_whole_great_circle(old, new):
    """Two opposite columns and their mirror form a ring; a panorama of width 2 is one great circle."""
    x = random_signal(old, 2)
    found = resize(x, (new, 2), Border.of(("pole", "circular"), 2))
    circle = torch.cat([x[..., 0], x[..., 1].flip(-1)], -1)
    wanted = resize(circle, (2 * new,), Border.of("circular", 1))
    torch.testing.assert_close(found[..., 0], wanted[..., :new])
    torch.testing.assert_close(found[..., 1], wanted[..., new:].flip(-1))


@pytest.mark.parametrize("sizes", [((8,), (4,)), ((8, 9), (4, 3)), ((4, 6, 8), (2, 3, 4)), ((4, 6, 8), (8, 3, 8))])
def test_shrinking_averages(sizes):
    old, new = sizes
    noise = random_signal(*old)
    border = Border.of("circular", len(old))
    shrunk = resize(noise, new, border)
    assert shrunk.shape[2:] == new
    torch.testing.assert_close(shrunk.mean((2, 3) if len(old) == 2 else tuple(range(2, 2 + len(old)))),
                               noise.mean(tuple(range(2, 2 + len(old)))))  # fmt: skip


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shrinking_a_volume_is_separable(axis):
    x = random_signal(4, 6, 8)
    size = [4, 6, 8]
    size[axis] //= 2
    lines = x.movedim(2 + axis, -1).flatten(0, -2)[:, None]
    wanted = resize(lines, [size[axis]], Border.of("zeros", 1))
    wanted = wanted.view(*x.movedim(2 + axis, -1).shape[:-1], -1).movedim(-1, 2 + axis)
    torch.testing.assert_close(resize(x, size, Border.of("zeros", 3)), wanted)


def test_same_size_is_the_signal_itself():
    x = random_signal(3, 4)
    assert resize(x, x.shape[2:], Border.of("circular", 2)) is x


@pytest.mark.parametrize(
    "surface", [Plane(), Plane(border="reflect"), Equirectangular(), Equirectangular("zeros")], ids=str
)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_upsample_multiplies_the_size_or_takes_one(surface, mode):
    layer = Upsample(3, mode, surface)
    x = random_signal(4, 6)
    assert layer(x).shape == (2, 2, 12, 18)
    assert layer(x, output_size=(7, 11)).shape == (2, 2, 7, 11)
    assert layer(x, output_size=torch.Size((7, 11))).shape == (2, 2, 7, 11)
    assert "scale_factor=3" in repr(layer)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_upsample_on_a_mesh_is_its_stencil(mode):
    surface = Icosphere(1)
    layer = Upsample(mode=mode, surface=surface).double()
    x = random_signal(42)
    operator = torch.from_numpy(surface.resize_neighbours(mode=mode).operators[0].toarray())
    torch.testing.assert_close(layer(x, output_size=(162,)), x @ operator.T)
    assert layer.output_surface == Icosphere(2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Upsample(0), "scale_factor=0: must be a whole number from 1"),
        (lambda: Upsample(1.5), "scale_factor=1.5: must be a whole number from 1"),
        (lambda: Upsample(mode="cubic"), "mode='cubic': must be one of linear, nearest; use 'nearest' for labels"),
        (lambda: Upsample(4, surface=Icosphere(1)), "scale_factor=4: must be 2 on an icosphere"),
        (lambda: Upsample()(torch.zeros(1, 1, 4, 4), (8,)), r"output_size=\(8,\): must be a whole number from 1, or 2"),
        (lambda: Upsample()(torch.zeros(1, 1, 4, 4), (8, 0)), r"output_size=\(8, 0\): must be a whole number from 1"),
        (lambda: Upsample()(torch.zeros(1, 4, 4)), r"must have 4 axes: \(batch, channels, height, width\)"),
        (lambda: Upsample(surface=Icosphere(0))(torch.zeros(1, 1, 12), (40,)), r"output_size=\(40,\): must be \(42,\)"),
        (
            lambda: Upsample(surface=Icosphere(0))(torch.zeros(1, 1, 13)),
            "a signal on icosphere:0,laplacian=mass; its",
        ),
    ],
)
def test_invalid_resizing_is_refused(call, text):
    with pytest.raises(InputError, match=text):
        call()
