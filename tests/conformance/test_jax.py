"""Layers against JAX, whose padding TensorFlow and Keras share: ``same_upper`` is SAME, ``valid`` is VALID."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jax_cases import KERNELS, PADDINGS, all_cases, numbers, signal, weight

import omniconv as oc
from omniconv.errors import InputError


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Results of JAX by the names of cases."""
    path = tmp_path_factory.mktemp("jax") / "answers.npz"
    script = Path(__file__).with_name("jax_reference.py")
    subprocess.run([sys.executable, "-W", "error", str(script), str(path)], check=True)
    with np.load(path) as found:
        return {name: torch.from_numpy(found[name]).double() for name in found.files}


def cases_of(operator, axes=None, padding=None, kernel=None):
    return [
        case
        for case in all_cases()
        if case.operator == operator
        and axes in (None, len(case.sizes))
        and padding in (None, case.padding)
        and kernel in (None, case.kernel[0])
    ]


def assert_alike(answers, name, layer, x, output_size=None, close=False):
    """Compare outputs, and gradients where JAX computed them; sums of small integers are exact in float32."""
    limits = {"rtol": 1e-6, "atol": 1e-6} if close else {"rtol": 0, "atol": 0}
    x.requires_grad_()
    y = layer(x) if output_size is None else layer(x, output_size)
    torch.testing.assert_close(y, answers[name], msg=lambda text: f"{name}: {text}", **limits)
    if f"{name} input" in answers:
        wanted = [answers[f"{name} {of}"] for of in ("input", "weight")]
        found = torch.autograd.grad(y, [x, *layer.parameters()], torch.from_numpy(numbers(*y.shape)).double())
        for one, other in zip(found, wanted, strict=False):  # pooling has no weight
            torch.testing.assert_close(one, other, msg=lambda text: f"{name}, gradient: {text}", **limits)


def convolution(case, name="Conv", padding=None):
    """Return omniconv's layer with the case's weight."""
    kernel = torch.from_numpy(weight(case)).double()
    channels = kernel.shape[:2] if name == "ConvTranspose" else kernel.shape[1::-1]
    layer = getattr(oc.nn, f"{name}{len(case.sizes)}d")(
        *channels, case.kernel, case.stride, PADDINGS[case.padding] if padding is None else padding,
        dilation=case.dilation, bias=False,
    ).double()  # fmt: skip
    layer.load_state_dict({"weight": kernel})
    return layer


def double(case):
    return torch.from_numpy(signal(case)).double()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_convolutions_of_signals(answers, padding, kernel):
    for case in cases_of("convolution", 1, padding, kernel):
        check_convolution(answers, case)


@pytest.mark.parametrize("padding", PADDINGS)
def test_convolutions_of_images(answers, padding):
    for case in cases_of("convolution", 2, padding):
        check_convolution(answers, case)


def check_convolution(answers, case):
    """Compare one case; where a kernel does not fit, JAX returns an empty array and omniconv raises."""
    if case.padding == "VALID" and min(case.valid_positions) < 1:
        assert answers[case.name].numel() == 0
        with pytest.raises(InputError, match=r"is smaller on grid axis \d than the kernel"):
            convolution(case)(double(case))
    else:
        assert_alike(answers, case.name, convolution(case), double(case))


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("padding", PADDINGS)
def test_transposed_convolutions_are_the_gradients_of_convolutions(answers, padding, axes):
    """Sizes of the convolution's input that are no multiple of the stride are included."""
    tried = 0
    for case in cases_of("convolution", axes, padding):
        if f"{case.name} input" in answers:
            outgoing = torch.from_numpy(numbers(*answers[case.name].shape)).double()
            found = convolution(case, "ConvTranspose")(outgoing, case.sizes)
            assert torch.equal(found, answers[f"{case.name} input"]), case.name
            tried += 1
    assert tried


@pytest.mark.parametrize("kernel", KERNELS)
def test_transposed_convolutions_with_same(answers, kernel):
    """JAX and Keras return ``size · stride`` for SAME, which is omniconv's default size."""
    for case in cases_of("transposed", padding="SAME", kernel=kernel):
        layer = convolution(case, "ConvTranspose")
        assert_alike(answers, case.name, layer, double(case))


@pytest.mark.parametrize("kernel", KERNELS)
def test_transposed_convolutions_with_valid(answers, kernel):
    """Where a kernel spans less than a stride, JAX and Keras append zeros up to ``size · stride``, the largest size for
    VALID; omniconv returns the smallest by default."""
    for case in cases_of("transposed", padding="VALID", kernel=kernel):
        layer = convolution(case, "ConvTranspose", padding=0)
        axes = list(zip(case.sizes, case.kernel, case.stride, case.dilation, strict=True))
        smallest = [(size - 1) * step + gap * (taps - 1) + 1 for size, taps, step, gap in axes]
        largest = [max(least, size * step) for least, (size, _, step, _) in zip(smallest, axes, strict=True)]
        assert_alike(answers, case.name, layer, double(case), largest)
        found = layer(double(case))
        assert list(found.shape[2:]) == smallest
        inner = answers[case.name][(..., *map(slice, smallest))]
        assert torch.equal(found, inner)
        assert inner.abs().sum() == answers[case.name].abs().sum()  # the rest is zeros


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("name", "layer"), [("max", oc.nn.MaxPool), ("mean", oc.nn.AvgPool)])
def test_pooling(answers, name, layer, padding, axes):
    for case in cases_of("pooling", axes, padding):
        pool = layer(case.kernel, case.stride, PADDINGS[padding], dilation=case.dilation, surface=oc.Plane(axes))
        wanted = answers[f"{name} {case.name}"]
        if not wanted.numel() or not wanted.isfinite().all():
            assert padding == "VALID" or max(case.sizes) < max(case.dilation)
            with pytest.raises(InputError, match=r"input=.*: is smaller than the window|holds none of"):
                pool(double(case))
        else:
            assert_alike(answers, f"{name} {case.name}", pool, double(case), close=name == "mean")
