"""Converted networks give the same numbers when compiled, exported or written as ONNX."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from flat_networks import SEAMLESS, AutoencoderLike, DeepLabLike, EfficientLike, EveryFunction, EveryLayer, UNetLike
from roll_equivariance import main_output, noise_image, randomized
from torch import nn

import omniconv as oc
from omniconv.errors import InputError

# a strict export warns that entering any function mode is a side effect
pytestmark = pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects")


class Small(nn.Module):
    """Layers and functions; one padding that the next call uses up, and one that it does not."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 2, 4, 2, 1)

    def forward(self, x):
        x = F.max_pool2d(F.pad(self.first(x), (1, 1, 1, 1)).relu(), 3, 1)
        x = F.avg_pool2d(F.pad(x, (1, 0, 1, 0)), 4, 1, 1)
        return F.interpolate(self.last(x), scale_factor=2, mode="bilinear")


class Traced(Small):
    """Functions whose arguments depend on the size of the image, which torch.jit.trace gives as tensors."""

    def forward(self, x):
        y = F.max_pool2d(super().forward(x), 3, 2, 1)
        return F.interpolate(y, size=x.size()[2:], mode="bilinear")


CONVERSIONS = {"equirectangular": oc.convert.to_equirectangular, "tangent": lambda net: oc.convert.to_tangent(net, 32)}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_compiled_network_equals_the_converted_one(convert):
    network, x = convert(randomized(Small())), noise_image(height=32, width=64)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_exported_network_equals_the_converted_one(convert, strict):
    network, x = convert(randomized(Small())), noise_image(height=32, width=64)
    program = torch.export.export(network, (x,), strict=strict)
    torch.testing.assert_close(program.module()(x), network(x))


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore:.torch.jit.trace. is deprecated", "ignore:.torch.jit.trace_method. is"
)
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_traced_network_equals_the_converted_one(convert):
    network, x = convert(randomized(Traced())), noise_image(height=32, width=64)
    traced = torch.jit.trace(network, x, check_trace=False)
    torch.testing.assert_close(traced(x.flip(-1)), network(x.flip(-1)))


def test_tangent_network_refuses_symbolic_sizes():
    network, x = CONVERSIONS["tangent"](randomized(Small())), noise_image(height=32, width=64)
    half = torch.export.Dim("half", min=4, max=512)
    with pytest.raises(InputError, match="symbolic height, but tangent-plane kernels are built for one height; trace"):
        torch.export.export(network, (x,), dynamic_shapes=({2: 2 * half, 3: 4 * half},), strict=False)


@pytest.mark.parametrize("strict", [None, False, True])
def test_unflatten_compiles_and_exports(strict):
    network = oc.convert.to_equirectangular(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Unflatten(1, (2, 2))))
    x = torch.rand(1, 3, 8, 16)
    torch._dynamo.reset()
    if strict is None:
        program = torch.compile(network, backend="aot_eager", fullgraph=True)
    else:
        program = torch.export.export(network, (x,), strict=strict).module()
    torch.testing.assert_close(program(x), network(x))


@pytest.mark.slow
def test_gradients_of_the_compiled_network_equal_those_of_the_converted_one():
    network, x = oc.convert.to_equirectangular(randomized(Small())), noise_image()
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    results = [torch.autograd.grad(call(x).sin().sum(), list(network.parameters())) for call in (network, compiled)]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_exported_sizes_can_be_dynamic():
    network = oc.convert.to_equirectangular(
        randomized(nn.Sequential(Small(), nn.ReflectionPad2d(1), nn.Conv2d(2, 2, 3)))
    )
    half = torch.export.Dim("half", min=4, max=512)
    shapes = ({2: 2 * half, 3: 4 * half},)
    program = torch.export.export(network, (noise_image(height=16, width=32),), dynamic_shapes=shapes, strict=False)
    x = noise_image(height=24, width=48)
    torch.testing.assert_close(program.module()(x), network(x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_every_network_compiles_and_exports(kind):
    torch.manual_seed(0)
    network, x = oc.convert.to_equirectangular(randomized(kind())), noise_image(height=32, width=64)
    y = main_output(network(x))
    torch._dynamo.reset()
    torch.testing.assert_close(main_output(torch.compile(network, backend="aot_eager", fullgraph=True)(x)), y)
    for strict in (False, True):
        program = torch.export.export(network, (x,), strict=strict)
        torch.testing.assert_close(main_output(program.module()(x)), y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [UNetLike, DeepLabLike, EfficientLike, AutoencoderLike, EveryLayer, EveryFunction])
def test_onnx_file_equals_the_converted_network(kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network, x = oc.convert.to_equirectangular(randomized(kind())).float(), noise_image(height=32, width=64).float()
    torch.onnx.export(network, (x,), str(tmp_path / "network.onnx"), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    (y, *_) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), main_output(network(x)), rtol=1e-3, atol=1e-4)
