"""Invalid input is refused by every layer on every surface, in one line with argument, value, rule and cure."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import omniconv as oc
from omniconv.errors import InputError

SURFACES = [
    oc.Plane(1), oc.Plane(2), oc.Plane(3), oc.Plane(2, "circular"), oc.Plane(2, "reflect"), oc.Plane(2, "replicate"),
    oc.Equirectangular(), oc.Equirectangular(height=8, kernels="tangent"), oc.Icosphere(1), oc.Icosahedron(1),
    oc.Healpix(2), oc.Cubemap(4),
]  # fmt: skip
WITH_WEIGHTS = {
    "Conv": {}, "ConvTranspose": {}, "GatedConv": {}, "CoordConv": {}, "SeparableConv": {}, "ASPP": {"rates": (1,)},
    "ConvBlock": {}, "DoubleConv": {}, "OutputHead": {},
}  # fmt: skip
WITHOUT = ["MaxPool", "AvgPool", "LpPool", "GlobalAvgPool", "Upsample", "Downsample"]
LAYERS = [*WITH_WEIGHTS, *WITHOUT]
WINDOWED = ["Conv", "ConvTranspose", "GatedConv", "CoordConv", "SeparableConv", "MaxPool", "AvgPool", "LpPool"]
MODES = ["zeros", "reflect", "replicate", "circular"]
NO_SIZES = [
    True,
    np.True_,
    1.5,
    float("nan"),
    "3",
    b"3",
    3j,
    {},
    {3},
    (),
    ((3,),),
    np.array([3]),
    torch.tensor(3),
    10**12,
]


def build(kind, surface, **more):
    channels = (2, 2) if kind in WITH_WEIGHTS else ()
    return getattr(oc.nn, kind)(*channels, **(WITH_WEIGHTS.get(kind, {}) | {"surface": surface} | more)).eval()


def signal(surface, batch=1, channels=2, side=6):
    return torch.rand(batch, channels, *[size or side for size in surface.shape])


def refused(text):
    return pytest.raises(InputError, match=re.escape(text))


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_empty_batch_and_its_gradient(kind, surface):
    layer = build(kind, surface)
    x = signal(surface, batch=0).requires_grad_()
    y = layer(x)
    assert y.shape == (0, *layer(signal(surface)).shape[1:])
    y.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_an_empty_batch_is_unpooled(surface):
    pool = oc.nn.MaxPool(return_switches=True, surface=surface)
    x = signal(surface, batch=0)
    assert oc.nn.MaxUnpool(surface=pool.output_surface)(*pool(x)).shape == x.shape


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_empty_batch_in_conv_nd(rank, mode):
    x = torch.rand(0, 2, *[6] * rank)
    for kind in ("Conv", "ConvTranspose"):
        layer = getattr(oc.nn, f"{kind}{rank}d")(2, 3, 3, 2, [(1, 2)] * rank, padding_mode=mode)
        assert layer(x).shape == (0, *layer(torch.rand(1, 2, *[6] * rank)).shape[1:])
    assert oc.nn.Pad(1, mode)(x).shape == (0, 2, *[8] * rank)


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_grid_without_samples_is_refused(kind, surface):
    layer = build(kind, surface)
    for axis in range(2, 2 + surface.ndim):
        x = signal(surface).narrow(axis, 0, 0)
        with pytest.raises(InputError, match=r"input=\(1, 2, .*: must have (at least one sample|\d+ samples)"):
            layer(x)
    if kind not in WITH_WEIGHTS:
        with refused("must have at least one sample; check the size of the image"):
            layer(signal(surface, channels=0))


@pytest.mark.parametrize("mode", MODES[1:])
def test_padding_of_an_empty_axis_is_refused(mode):
    with pytest.raises(InputError, match=r"has no samples for|must be smaller than the axis \(0 samples\)"):
        oc.nn.Pad(1, mode)(torch.zeros(1, 1, 0, 3))
    assert oc.nn.Pad(1)(torch.zeros(1, 1, 0, 3)).shape == (1, 1, 2, 5)
    assert oc.nn.Pad([(0, 0), (1, 1)], mode)(torch.zeros(1, 1, 0, 3)).shape == (1, 1, 0, 5)


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_input_must_be_a_floating_point_tensor(kind, surface):
    layer, x = build(kind, surface), signal(surface)
    for wrong, text in [
        (x.tolist(), "input=<class 'list'>: must be a tensor; use torch.as_tensor"),
        (x.numpy(), "input=<class 'numpy.ndarray'>: must be a tensor"),
        (None, "input=<class 'NoneType'>: must be a tensor"),
        ("x", "input=<class 'str'>: must be a tensor"),
        (x.int(), "input=torch.int32: must have a floating-point dtype; use x.float()"),
        (x.bool(), "input=torch.bool: must have a floating-point dtype"),
        (x.to(torch.complex64), "input=torch.complex64: must have a floating-point dtype"),
        (x[0, 0], "axes: (batch, channels"),
        (x[None], "axes: (batch, channels"),
    ]:
        with refused(text):
            layer(wrong)


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("kind", WITH_WEIGHTS)
def test_input_must_have_the_dtype_of_the_weights(kind, surface):
    layer, x = build(kind, surface), signal(surface)
    text = "must have the dtype of the weights (float32), got float64; use x.to(torch.float32) or layer.to"
    with refused(text):
        layer(x.double())
    with refused("input=torch.float32: must have the dtype of the weights (bfloat16), got float32"):
        layer.to(torch.bfloat16)(x)
    with refused("must have 2 channels on axis 1"):
        build(kind, surface)(signal(surface, channels=3))


@pytest.mark.parametrize("surface", [oc.Plane(2, "circular"), oc.Icosphere(1)], ids=str)
def test_autocast_accepts_other_dtypes(surface):
    layer = build("DoubleConv", surface)
    with torch.autocast("cpu", torch.bfloat16):
        for x in (signal(surface), signal(surface).bfloat16()):
            assert layer(x).isfinite().all()


@pytest.mark.parametrize("surface", SURFACES[:3] + SURFACES[6:], ids=str)
@pytest.mark.parametrize("kind", WINDOWED)
@pytest.mark.parametrize("value", NO_SIZES, ids=repr)
def test_sizes_must_be_integers(kind, surface, value):
    names = ["kernel_size", "stride", "dilation", "padding"]
    for name in names:
        with pytest.raises(InputError, match=f"{name}=.*: must "):
            build(kind, surface, **{name: value})


@pytest.mark.parametrize("value", NO_SIZES, ids=repr)
def test_channels_and_groups_must_be_integers(value):
    for name in ("in_channels", "out_channels", "groups"):
        for layer in (oc.nn.Conv, oc.nn.ConvTranspose, oc.nn.GatedConv, oc.nn.Conv2d, oc.nn.ConvTranspose1d):
            with pytest.raises(InputError, match=f"{name}=.*: must be "):
                layer(**{"in_channels": 2, "out_channels": 2, "kernel_size": 3, name: value})


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("value", [value for value in NO_SIZES if not isinstance(value, int)] + [-1], ids=repr)
def test_output_sizes_must_be_integers(surface, value):
    for kind in ("ConvTranspose", "Upsample", "Downsample"):
        with pytest.raises(InputError, match=r"output_size=.*: must be "):
            build(kind, surface)(signal(surface), output_size=value)
    pool = oc.nn.MaxPool(return_switches=True, surface=surface)
    with pytest.raises(InputError, match=r"output_size=.*: must be "):
        oc.nn.MaxUnpool(surface=pool.output_surface)(*pool(signal(surface)), value)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("value", ["plane", None, 2, oc.Plane, np.zeros(2)], ids=repr)
def test_surface_must_be_a_surface(kind, value):
    with pytest.raises(InputError, match=r"surface=.*: must be a surface; use oc\.Plane"):
        build(kind, value)


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: oc.nn.Conv1d(1, 1, 10**12), "kernel_size=1000000000000: must be at most 68719476736, or 1 of them"),
        (lambda: oc.nn.Conv2d(10**5, 10**5, 10), "weight=(100000, 100000, 10, 10): must have at most 68719476736"),
        (lambda: oc.nn.Conv(10**6, 10**6), "use fewer channels or a smaller kernel"),
        (lambda: oc.nn.Conv(2, 2, groups=True), "groups=True: must be a whole number from 1; use groups=1"),
        (lambda: oc.nn.Conv(2, 0), "out_channels=0: must be a whole number from 1; give integers of at least 1"),
        (lambda: oc.nn.Conv(2, 2, kernel_size=True), "kernel_size=True: must be a whole number from 1, or 2 of them"),
        (lambda: oc.nn.Conv2d(1, 1, 3, bias="no"), "bias='no': must be True or False; use bias=True"),
        (lambda: oc.nn.Conv2d(1, 1, 3, padding_value="a"), "padding_value='a': must be a number"),
        (lambda: oc.nn.Conv2d(1, 1, 3, dtype=torch.int64), "dtype=torch.int64: must be a floating-point dtype"),
        (
            lambda: oc.nn.Conv2d(1, 1, 3, device="abacus"),
            "device='abacus': must be a device of this machine; use 'cpu'",
        ),
        (lambda: oc.nn.LpPool(p="2"), "p='2': must be a number above 0 and finite; use p=2 for the Euclidean norm"),
        (lambda: oc.nn.LpPool(p=-1), "p=-1: must be a number above 0 and finite"),
        (lambda: oc.nn.LpPool(p=float("inf")), "p=inf: must be a number above 0 and finite"),
        (lambda: oc.nn.LpPool(p=10**400), "must be a number above 0 and finite"),
        (lambda: oc.nn.MaxPool(ceil_mode="up"), "ceil_mode='up': must be True or False"),
        (lambda: oc.nn.MaxPool(return_switches="yes"), "return_switches='yes': must be True or False"),
        (lambda: oc.nn.AvgPool(count_include_pad=np.zeros(2)), "count_include_pad=array([0., 0.]): must be True or"),
        (lambda: oc.nn.CoordConv(1, 1, radius="r"), "radius='r': must be True or False"),
        (lambda: oc.nn.OutputHead(1, 1, sigmoid="s"), "sigmoid='s': must be True or False"),
        (lambda: oc.nn.ASPP(2, 2, rates=3), "rates=3: must hold at least one dilation; use (6, 12, 18)"),
        (lambda: oc.nn.ASPP(2, 2, rates="369"), "rates='369': must hold at least one dilation"),
        (lambda: oc.nn.ASPP(2, 2, rates=(1, 2.5)), "dilation=2.5: must be a whole number from 1"),
        (lambda: oc.nn.ASPP(2, 2, dropout=2), "dropout=2: must be a probability from 0 to 1; use 0.5"),
        (lambda: oc.nn.ASPP(2, 2, separable="s"), "separable='s': must be True or False"),
        (lambda: oc.nn.Upsample(True), "scale_factor=True: must be a whole number from 1; use 2 for one level"),
        (lambda: oc.nn.Upsample(mode=[]), "mode=[]: must be one of linear, nearest; use 'nearest' for labels"),
        (lambda: oc.nn.GatedConv(1, 1, activation={}), "activation={}: must be one of relu"),
        (lambda: oc.nn.UpBlock(4, None), "merge=None: must be a layer; use DoubleConv"),
        (lambda: oc.nn.UpBlock(1, torch.nn.Identity(), "transposed"), "in_channels=1: must be a whole number from 2"),
        (lambda: oc.nn.ConvTranspose(1, 1, output_padding=1, surface=oc.Icosphere(1)), "output_padding=1: must be 0"),
        (lambda: oc.nn.MaxUnpool(padding=1, surface=oc.Icosphere(1)), "padding=1: must be 'same' on a mesh"),
        (lambda: oc.nn.Pad(1.5), "padding=1.5: must be a whole number from 0 or a (before, after) pair; use padding=1"),
        (lambda: oc.nn.Pad(None), "padding=None: must be a whole number from 0 or a (before, after) pair"),
        (lambda: oc.nn.Pad(True), "padding=True: must be a whole number from 0"),
        (lambda: oc.nn.Pad([(1, 2, 3)]), "padding=(1, 2, 3): must be a whole number from 0"),
        (lambda: oc.nn.Pad(1, mode=3), "padding_mode=3: must be one mode or one for each axis"),
        (lambda: oc.nn.Pad(1, value="a"), "padding_value='a': must be a number"),
        (lambda: oc.nn.Pad(1)([1.0]), "input=<class 'list'>: must be a tensor"),
        (lambda: oc.models.UNet(1, 1, width=True), "width=True: must be a whole number from 1"),
        (lambda: oc.models.UNet(1, 1, "plane"), "surface='plane': must be a surface"),
        (lambda: oc.models.Classifier(1, 1, down=[]), "down=[]: must be one of stride, max, average"),
        (lambda: oc.summary(None, (1, 2)), "model=<class 'NoneType'>: must be a torch.nn.Module; give a network"),
        (lambda: oc.summary(oc.nn.Conv(2, 2), (2, True, 4)), "must be (channels, *grid) in whole numbers from 1"),
        (lambda: oc.load(3), "path=3: must be a string or a path"),
        (lambda: oc.save(oc.models.UNet(1, 1, width=1, depth=1), None), "path=None: must be a string or a path"),
        (lambda: oc.Icosphere(True), "level=True: must be a whole number from 0 to 9"),
        (lambda: oc.Icosahedron(True), "level=True: must be a whole number from 0"),
        (lambda: oc.Healpix(True), "nside=True: must be a power of two"),
        (lambda: oc.Cubemap(True), "size=True: must be a whole number from 1"),
        (lambda: oc.Plane(np.float32(2)), "must be 1, 2 or 3"),
        (lambda: oc.Border(3), "modes=3: must be a pair (before, after) for each axis"),
        (lambda: oc.Border((3,)), "padding_mode=3: must be a pair (before, after)"),
    ],
)
def test_errors_name_the_argument(act, text):
    with refused(text):
        act()


ON_SPHERES = [*SURFACES[6:], oc.Equirectangular(height=8, kernels="rows")]
"""Spherical surfaces."""


def signals_of_other_surfaces(surface):
    """Return grids that are no signal on a surface: other levels, other surfaces, and flat images."""
    levels = () if surface.any_size else (surface.coarser(), surface.finer())
    for other in (*levels, oc.Healpix(2), oc.Icosphere(2), oc.Cubemap(2), oc.Plane(2), oc.Plane(1)):
        grid = tuple(size or 7 for size in other.shape)
        if grid != surface.shape and not (surface.any_size and len(grid) == surface.ndim):
            yield grid


@pytest.mark.parametrize("surface", ON_SPHERES, ids=str)
@pytest.mark.parametrize("kind", [*LAYERS, "MaxUnpool"])
def test_signals_of_other_surfaces_are_refused(kind, surface):
    layer = build(kind, surface)
    more = {"switches": torch.zeros(1, dtype=torch.long)} if kind == "MaxUnpool" else {}
    for grid in signals_of_other_surfaces(surface):
        with pytest.raises(InputError) as error:
            layer(torch.rand(1, 2, *grid), **more)
        expected = ", ".join(map(str, surface.shape))
        text = f"must be (batch, channels, {expected}), a signal on {surface}; its grid is {grid}"
        assert ("must have 4 axes" if surface.any_size else text) in str(error.value)


@pytest.mark.parametrize("surface", ON_SPHERES, ids=str)
def test_networks_refuse_signals_of_other_surfaces(surface):
    for network in (oc.models.UNet(2, 2, surface, width=2, depth=1), oc.models.Classifier(2, 2, surface, 2, 1)):
        for grid in signals_of_other_surfaces(surface):
            with pytest.raises(InputError, match=r"input=.*: must (be \(batch, channels, .*, a signal on|have 4 axes)"):
                network(torch.rand(1, 2, *grid))


def test_the_level_of_a_refused_signal_is_named():
    with refused("must be (batch, channels, 42), a signal on icosphere:1,laplacian=mass; its grid is (162,); build the "
                 "layer on icosphere:2,laplacian=mass, which has this grid, or resample the signal"):  # fmt: skip
        oc.nn.MaxUnpool(surface=oc.Icosphere(1))(torch.rand(1, 2, 162), torch.zeros(1, 2, 162, dtype=torch.long))
    with refused("skip=(1, 2, 42): must be (batch, channels, 162), a signal on icosphere:2"):
        block = oc.nn.UpBlock(4, torch.nn.Identity(), surface=oc.Icosphere(1))
        block(torch.rand(1, 4, 42), torch.rand(1, 2, 42))
    with refused("must have the grid (8, 16) of source_shape"):
        oc.nn.Resample(oc.Equirectangular(), oc.Icosphere(0), source_shape=(8, 16))(torch.rand(1, 1, 9, 18))
    with refused("must have 3 axes: (batch, channels, length or samples); add or remove axes, such as unsqueeze(0)"):
        oc.nn.Conv(2, 2, surface=oc.Icosphere(1))(torch.rand(2, 42))


def test_signals_of_other_surfaces_are_refused_while_compiling():
    layer = oc.nn.Conv(2, 2, surface=oc.Healpix(2))
    for call in (torch.compile(layer, backend="eager"),
                 lambda x: torch.export.export(layer, (x,), strict=False)):  # fmt: skip
        with refused("must be (batch, channels, 48), a signal on healpix:2; its grid is (12,); build the layer on"):
            call(torch.rand(1, 2, 12))


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_skip_must_have_the_same_batch_size(surface):
    finer = surface if surface.any_size else surface.finer()
    block = oc.nn.UpBlock(2, oc.nn.DoubleConv(4, 2, surface=finer), surface=surface)
    for wrong, text in [
        (None, "skip=<class 'NoneType'>: must be a tensor"),
        (signal(finer, batch=3), "must have the batch size of the coarse signal, 2; pass the encoder's signal"),
        (signal(finer, batch=2, channels=5), "must have 4 channels on axis 1"),
    ]:
        with refused(text):
            block(signal(surface, batch=2), wrong)


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_the_mean_of_one_image_cannot_be_normalized(surface):
    layer = oc.nn.ASPP(2, 2, (1,), surface=surface)
    with refused(
        "must have a batch from 2 in training: the mean of one image cannot be normalized; use a larger batch"
    ):
        layer(signal(surface))
    assert layer.eval()(signal(surface)).isfinite().all()


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_switches_must_be_integers_inside_the_output(surface):
    pool = oc.nn.MaxPool(return_switches=True, surface=surface)
    values, switches = pool(signal(surface))
    unpool = oc.nn.MaxUnpool(surface=pool.output_surface)
    for wrong, text in [
        (None, "switches=<class 'NoneType'>: must be a tensor"),
        (switches.tolist(), "switches=<class 'list'>: must be a tensor"),
        (switches.float(), "switches=torch.float32: must have an integer dtype"),
        (switches.bool(), "switches=torch.bool: must have an integer dtype"),
        (switches[..., :-1], "must have the input's shape"),
        (switches + 10**6, "must be inside output_size="),
        (-1 - switches, "must be inside output_size="),
    ]:
        with refused(text):
            unpool(values, wrong)
    torch.testing.assert_close(unpool(values, switches.int()), unpool(values, switches))


@pytest.mark.parametrize(
    ("dtype", "value", "fits"),
    [
        (torch.int64, 0.5, False), (torch.int64, float("nan"), False), (torch.uint8, 256, False),
        (torch.uint8, -1, False), (torch.bool, 2, False), (torch.float16, 1e6, False), (torch.int64, 7.0, True),
        (torch.uint8, 255, True), (torch.bool, True, True), (torch.float16, float("inf"), True),
        (torch.float32, np.float32(0.5), True), (torch.complex64, 0.5, True),
    ],
)  # fmt: skip
def test_padding_value_must_fit_the_dtype(dtype, value, fits):
    x = torch.ones(1, 1, 3).to(dtype)
    if fits:
        assert oc.nn.Pad(1, value=value)(x)[0, 0, 0] == torch.tensor(value).to(dtype)
    else:
        with pytest.raises(InputError, match=rf"value=.*must be a number that {dtype} can represent; use x"):
            oc.nn.Pad(1, value=value)(x)
    assert oc.nn.Pad(1, "circular", value)(x).dtype == dtype


def test_numpy_integers_are_accepted_as_channels():
    network = oc.models.UNet(np.int64(2), np.int32(3), width=np.int64(2), depth=1)
    assert network.arguments["in_channels"] == 2
    assert type(network.arguments["width"]) is int
    assert oc.nn.Conv(np.int64(4), 2, groups=np.int64(2))(torch.zeros(1, 4, 3, 3)).shape == (1, 2, 3, 3)
