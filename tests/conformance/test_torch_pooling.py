"""Poolings and padding against PyTorch in three dtypes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch_pairs import AsModule, assert_alike, assert_close, each_precision, each_rank, signal, torch_layer

import omniconv as oc

PADDINGS = {"Zero": "zeros", "Constant": "zeros", "Reflection": "reflect", "Replication": "replicate",
            "Circular": "circular"}  # fmt: skip


def in_float(layer, x):
    """Run torch's 3D average pooling in float32: it has no half precision on the CPU."""
    if x.dtype != torch.bfloat16 or x.ndim < 5:
        return layer
    return AsModule(lambda x: layer(x.float()).to(x.dtype))


def poolings(*others):
    """Yield combinations of kernel, stride, padding and ``others`` that torch admits."""
    for kernel, stride, padding, *rest in itertools.product((2, 3), (1, 2, 3), (0, 1), *others):
        yield kernel, stride, padding, *rest


@each_precision
@each_rank
def test_maxima(rank, dtype):
    for kernel, stride, padding, ceil_mode, dilation in poolings((False, True), (1, 2)):
        arguments = kernel, stride, padding, dilation
        theirs = torch_layer("MaxPool", rank, *arguments, return_indices=True, ceil_mode=ceil_mode)
        ours = oc.nn.MaxPool(*arguments, ceil_mode, return_switches=True, surface=oc.Plane(rank))
        x = signal(rank, dtype)
        for wanted, found in zip(theirs(x), ours(x), strict=True):
            assert torch.equal(found, wanted)
        theirs = torch_layer("MaxPool", rank, *arguments, ceil_mode=ceil_mode)
        ours = oc.nn.MaxPool(*arguments, ceil_mode, surface=oc.Plane(rank))
        assert_alike(x, theirs, ours)


@each_precision
@each_rank
def test_avg_pool_equals_reference(rank, dtype):
    """In windows past the end torch divides the sum, omniconv the mean by the share of samples: rounding differs."""
    for kernel, stride, padding, ceil_mode, counted in poolings((False, True), (False, True)):
        arguments = kernel, stride, padding, ceil_mode, counted
        ours = oc.nn.AvgPool(*arguments, surface=oc.Plane(rank))
        x, loose = signal(rank, dtype), (0, 1) if ceil_mode else ()
        assert_alike(x, in_float(torch_layer("AvgPool", rank, *arguments), x), ours, loose)


@each_precision
@each_rank
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_lp_pool_equals_reference(rank, p, dtype):
    """The input is positive, because torch takes powers without the absolute value; torch does not pad."""
    for kernel, stride in itertools.product((2, 3), (1, 2)):
        x, ours = signal(rank, dtype, least=0.1), oc.nn.LpPool(kernel, stride, p=p, surface=oc.Plane(rank))
        theirs = torch_layer("LPPool", rank, p, kernel, stride)
        assert_alike(x, in_float(theirs, x), ours, loose=(0, 1))  # powers and roots may be rounded differently


@each_precision
@each_rank
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (2, 3, 0), (2, 2, 1), (3, 3, 1)])
def test_unpool_equals_reference(rank, kernel, stride, padding, dtype):
    x = signal(rank, dtype)
    pool = torch_layer("MaxPool", rank, kernel, stride, padding, return_indices=True)
    theirs = torch_layer("MaxUnpool", rank, kernel, stride, padding)
    ours = oc.nn.MaxUnpool(kernel, stride, padding, surface=oc.Plane(rank))
    values, switches = pool(x)
    assert_alike(
        values,
        AsModule(lambda values: theirs(values, switches, x.shape)),
        AsModule(lambda values: ours(values, switches, x.shape)),
    )


@each_precision
@each_rank
def test_unpooling_where_windows_overlap(rank, dtype):
    """Torch keeps one of the values with the same index, omniconv their mean: after max pooling they are equal.

    Gradients are not compared: torch gives each of these values the gradient undivided."""
    x = signal(rank, dtype)
    values, switches = torch_layer("MaxPool", rank, 3, 2, 1, return_indices=True)(x)
    wanted = torch_layer("MaxUnpool", rank, 3, 2, 1)(values, switches, x.shape)
    assert_close(oc.nn.MaxUnpool(3, 2, 1, surface=oc.Plane(rank))(values, switches, x.shape), wanted)


@each_precision
@each_rank
@pytest.mark.parametrize("name", PADDINGS)
def test_padding_layers(name, rank, dtype):
    for amounts in (1, [(2, 0), (1, 3), (0, 2)][:rank]):
        backwards = amounts if isinstance(amounts, int) else tuple(side for pair in amounts[::-1] for side in pair)
        value = (-1.5,) if name == "Constant" else ()
        theirs, ours = torch_layer(f"{name}Pad", rank, backwards, *value), oc.nn.Pad(amounts, PADDINGS[name], *value)
        assert_alike(signal(rank, dtype), theirs, ours, loose=() if PADDINGS[name] == "zeros" else (1,))
