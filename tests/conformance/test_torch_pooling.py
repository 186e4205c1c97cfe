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
    """Torch's means of volumes know no half precision on the CPU: the float32 ones, rounded."""
    if x.dtype != torch.bfloat16 or x.ndim < 5:
        return layer
    return AsModule(lambda x: layer(x.float()).to(x.dtype))


def poolings(*others):
    """Kernel, stride, padding and whether sizes are rounded up, as torch allows them."""
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
    """Of windows that hang over torch divides the sum, and we the mean by the share that is there."""
    for kernel, stride, padding, ceil_mode, counted in poolings((False, True), (False, True)):
        arguments = kernel, stride, padding, ceil_mode, counted
        ours = oc.nn.AvgPool(*arguments, surface=oc.Plane(rank))
        x, loose = signal(rank, dtype), (0, 1) if ceil_mode else ()
        assert_alike(x, in_float(torch_layer("AvgPool", rank, *arguments), x), ours, loose)


@each_precision
@each_rank
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_lp_pool_equals_reference(rank, p, dtype):
    """Of numbers above zero, because torch takes powers without the absolute value; it does not pad."""
    for kernel, stride in itertools.product((2, 3), (1, 2)):
        x, ours = signal(rank, dtype, least=0.1), oc.nn.LpPool(kernel, stride, p=p, surface=oc.Plane(rank))
        theirs = torch_layer("LPPool", rank, p, kernel, stride)
        precise = in_float(theirs, x)  # the powers too
        assert_alike(x, precise, ours, loose=() if precise is theirs else (0, 1))


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
    """Torch keeps one of the values that meet, we take their mean: after max pooling they are all the same. (In the
    gradient they are not: torch gives every one the whole of it.)"""
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
