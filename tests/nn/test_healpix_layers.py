from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from dense_reference import dense_convolution

from omniconv.arithmetic import parameters
from omniconv.models import Classifier, UNet
from omniconv.nn import (
    ASPP,
    AvgPool,
    Conv,
    ConvTranspose,
    CoordConv,
    Downsample,
    GatedConv,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    MaxUnpool,
    SeparableConv,
    Upsample,
)
from omniconv.surfaces import Healpix

SURFACE = Healpix(4)
SAMPLES = 192


def signal(channels=4, batch=2, surface=SURFACE):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, *surface.shape, generator=generator, dtype=torch.float64)


def flat(x, surface=SURFACE):
    """Signals as flat images of the base faces: ``(batch · 12, channels, nside, nside)``."""
    return x[:, :, torch.from_numpy(surface.faces())].transpose(1, 2).flatten(0, 1)


def quarter_turned(x):
    """Base faces move on to the next ones, around the pole and along the equator."""
    return x.unflatten(2, (3, 4, -1)).roll(1, dims=3).flatten(2)


def dense(stencil):
    return [torch.from_numpy(operator.toarray()) for operator in stencil.operators]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 2)])
def test_conv_and_its_gradients_are_the_reference(kernel_size, stride, dilation, groups):
    layer = Conv(4, 6, kernel_size, stride, dilation=dilation, groups=groups, surface=SURFACE).double()
    operators = dense(SURFACE.conv_neighbours(kernel_size, stride, dilation))

    def reference(x):
        parts = zip(x.chunk(groups, 1), layer.weight.chunk(groups, 0), strict=True)
        rows = [dense_convolution(part.transpose(1, 2), weight, operators) for part, weight in parts]
        return torch.cat(rows, 2).transpose(1, 2) + layer.bias[:, None]

    results = []
    for convolve in (layer, reference):
        x = signal().requires_grad_()
        y = convolve(x)
        results.append([y, *torch.autograd.grad(y.sin().sum(), (x, layer.weight, layer.bias))])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_weights_lie_tap_by_tap(kernel_size, layer):
    built = layer(4, 6, kernel_size, groups=2, surface=SURFACE)
    assert built.weight.shape == (6, 2, kernel_size**2)
    assert sum(p.numel() for p in built.parameters()) == parameters(4, 6, kernel_size**2, 2)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 1), (5, 1), (3, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_inside_a_face_it_is_the_flat_convolution(kernel_size, stride, dilation):
    surface = Healpix(16)
    layer = Conv(3, 2, kernel_size, stride, dilation=dilation, surface=surface).double()
    x, reach = signal(3, surface=surface), kernel_size // 2 * dilation
    kernel = layer.weight.unflatten(2, (kernel_size, kernel_size))
    wanted = F.conv2d(flat(x, surface), kernel, layer.bias, stride, reach, dilation)
    found = flat(layer(x), layer.output_surface)
    assert found.shape == wanted.shape
    inside = (..., *[slice(math.ceil(reach / stride), (16 - reach) // stride)] * 2)
    torch.testing.assert_close(found[inside], wanted[inside])


@pytest.mark.parametrize("pool", [MaxPool, AvgPool, LpPool])
def test_pooling_is_the_flat_one(pool):
    coarse = SURFACE.coarser()
    x = signal()
    torch.testing.assert_close(flat(pool(surface=SURFACE).double()(x), coarse), pool().double()(flat(x)))


@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 1), (5, 1), (1, 2), (3, 2), (5, 2)])
def test_transposed_convolution_is_the_adjoint(kernel_size, stride):
    fine = SURFACE if stride == 1 else SURFACE.finer()
    there = Conv(3, 2, kernel_size, stride, bias=False, surface=fine).double()
    back = ConvTranspose(2, 3, kernel_size, stride, bias=False, surface=SURFACE).double()
    back.load_state_dict({"weight": there.weight.detach().transpose(0, 1)})
    x, y = signal(3, surface=fine), signal(2)
    assert back.output_surface == fine
    torch.testing.assert_close((there(x) * y).sum(), (x * back(y)).sum())


@pytest.mark.parametrize("build", [
    lambda: Conv(4, 3, surface=SURFACE), lambda: Conv(4, 3, 5, surface=SURFACE),
    lambda: Conv(4, 3, stride=2, surface=SURFACE), lambda: ConvTranspose(4, 3, surface=SURFACE),
    lambda: MaxPool(surface=SURFACE), lambda: AvgPool(surface=SURFACE), lambda: Upsample(surface=SURFACE),
    lambda: UNet(4, 2, width=4, depth=2, surface=SURFACE).eval(),
])  # fmt: skip
def test_layers_commute_with_quarter_turns_about_the_axis(build):
    layer, x = build().double(), signal()
    torch.testing.assert_close(layer(quarter_turned(x)), quarter_turned(layer(x)), rtol=0, atol=1e-12)


def test_nine_equal_weights_keep_a_constant():
    layer = Conv(1, 1, bias=False, surface=SURFACE).double()
    torch.nn.init.constant_(layer.weight, 1 / 9)
    torch.testing.assert_close(
        layer(torch.full((1, 1, SAMPLES), 0.75).double()), torch.full((1, 1, SAMPLES), 0.75).double()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layer", [AvgPool, MaxPool, Upsample, Downsample])
def test_constants_stay_constant(layer, dtype):
    found = layer(surface=SURFACE).to(dtype)(torch.full((1, 2, SAMPLES), 0.75, dtype=dtype))
    torch.testing.assert_close(found, torch.full_like(found, 0.75))


def test_mean_is_kept_on_the_way_down():
    x = torch.randint(0, 256, (2, 3, SAMPLES)).double()
    torch.testing.assert_close(AvgPool(surface=SURFACE).double()(x), x.unflatten(2, (-1, 4)).mean(3), rtol=0, atol=0)
    mean = GlobalAvgPool(SURFACE.coarser()).double()(AvgPool(surface=SURFACE).double()(x))
    torch.testing.assert_close(mean, x.mean(2))
    torch.testing.assert_close(GlobalAvgPool(SURFACE).double()(x), x.mean(2))


def test_unpooling_restores_maxima():
    x = signal()
    values, switches = MaxPool(return_switches=True, surface=SURFACE)(x)
    assert switches.dtype == torch.int64
    assert (switches // 4 == torch.arange(SAMPLES // 4)).all()
    torch.testing.assert_close(x.gather(2, switches), values, rtol=0, atol=0)
    back = MaxUnpool(surface=SURFACE.coarser())(values, switches)
    torch.testing.assert_close(back.gather(2, switches), values, rtol=0, atol=0)
    assert (back != 0).sum() == values.numel()
    assert ((back == 0) | (back == x)).all()


def test_nearest_downsampling_takes_a_child_of_each_cell():
    picked = Downsample(mode="nearest", surface=SURFACE)(torch.arange(SAMPLES).float().expand(1, 1, -1))
    assert (picked.long() // 4 == torch.arange(SAMPLES // 4)).all()


LAYERS = {
    "conv": lambda: Conv(4, 6, surface=SURFACE),
    "strided": lambda: Conv(4, 6, stride=2, surface=SURFACE),
    "pointwise": lambda: Conv(4, 6, 1, surface=SURFACE),
    "pointwise strided": lambda: Conv(4, 6, 1, stride=2, surface=SURFACE),
    "transposed": lambda: ConvTranspose(4, 6, surface=SURFACE),
    "transposed pointwise": lambda: ConvTranspose(4, 6, 1, surface=SURFACE),
    "gated": lambda: GatedConv(4, 6, surface=SURFACE),
    "separable": lambda: SeparableConv(4, 6, surface=SURFACE),
    "coordinates": lambda: CoordConv(4, 6, radius=True, surface=SURFACE),
    "coordinates strided": lambda: CoordConv(4, 6, stride=2, surface=SURFACE),
    "pyramid": lambda: ASPP(4, 6, rates=(1, 2, 4), surface=SURFACE),
    "max": lambda: MaxPool(surface=SURFACE),
    "mean": lambda: AvgPool(surface=SURFACE),
    "norm": lambda: LpPool(p=3.0, surface=SURFACE),
    "grow": lambda: Upsample(surface=SURFACE),
    "grow nearest": lambda: Upsample(mode="nearest", surface=SURFACE),
    "shrink": lambda: Downsample(surface=SURFACE),
    "unet": lambda: UNet(4, 2, width=4, depth=2, up="transposed", down="max", surface=SURFACE),
    "unet to the base faces": lambda: UNet(4, 2, width=4, depth=2, surface=SURFACE),
    "classifier": lambda: Classifier(4, 5, width=4, depth=2, down="average", surface=SURFACE),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_every_layer_runs_forward_and_backward(build):
    layer, x = build(), signal().float().requires_grad_()
    y = layer(x)
    lies = getattr(layer, "output_surface", SURFACE)
    assert y.shape == ((2, 5) if isinstance(layer, Classifier) else (2, y.shape[1], *lies.shape))
    y.square().sum().backward()
    for gradient in (x.grad, *(parameter.grad for parameter in layer.parameters())):
        assert torch.isfinite(gradient).all()
    assert x.grad.abs().sum() > 0
