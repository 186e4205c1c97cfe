from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pool_reference import (
    Pooling,
    all_windows_hold_samples,
    poolings,
    reference_avg_pool,
    reference_lp_pool,
    reference_max_pool,
    reference_unpool,
)

from omniconv.arithmetic import span
from omniconv.errors import InputError
from omniconv.nn import AvgPool, LpPool, MaxPool, MaxUnpool
from omniconv.nn.arguments import GridWindow
from omniconv.nn.grid.pool import GridAvgPool, GridLpPool, GridMaxPool
from omniconv.surfaces import Border, Plane

DRAWN = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])


def layer(kind, pooling, **options):
    """Return the operator; drop examples that it refuses, which other tests cover."""
    window = GridWindow(pooling.padding, pooling.kernel, pooling.stride, pooling.dilation)
    try:
        return kind(pooling.border, window, pooling.ceil_mode, **options)
    except InputError:
        assume(False)


def signal(pooling, seed=0):
    """Return distinct numbers, so that a window has one maximum."""
    shape = (2, 2, *pooling.shape)
    return np.random.default_rng(seed).permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape)


def fits(pooling):
    """Return True if there are outputs and no reflection is longer than its axis."""
    axes = zip(pooling.shape, pooling.amounts, pooling.border.modes, strict=True)
    too_long = any(
        mode == "reflect" and amount >= size
        for size, sides, modes in axes
        for amount, mode in zip(sides, modes, strict=True)
    )
    return not too_long and prod(pooling.outputs) > 0


def refuses(pool, pooling):
    """Return True if the pooling raises because a window holds none of the samples."""
    if all_windows_hold_samples(pooling):
        return False
    with pytest.raises(InputError, match="is so small that a window of dilation 2 holds none of its samples"):
        pool(torch.from_numpy(signal(pooling)))
    return True


@DRAWN
@given(pooling=poolings())
def test_max_pool_and_switches_equal_reference(pooling):
    pool = layer(GridMaxPool, pooling)
    assume(fits(pooling))
    if refuses(pool, pooling):
        return
    x = torch.from_numpy(signal(pooling)).requires_grad_()
    wanted, places = reference_max_pool(x.detach().numpy(), pooling)
    values, switches = pool.with_switches(x)
    np.testing.assert_array_equal(values.detach(), wanted)
    np.testing.assert_array_equal(switches, places)
    np.testing.assert_array_equal(pool(x).detach(), wanted)
    outgoing = torch.randn_like(values)
    (gradient,) = torch.autograd.grad(pool(x), x, outgoing)
    taken = torch.zeros_like(x).flatten(2).scatter_add(2, switches.flatten(2), outgoing.flatten(2))
    torch.testing.assert_close(gradient.flatten(2), taken)


@DRAWN
@given(pooling=poolings(), counted=st.booleans())
def test_avg_pool_equals_reference(pooling, counted):
    pool = layer(GridAvgPool, pooling, count_include_pad=counted)
    assume(fits(pooling))
    if not counted and refuses(pool, pooling):
        return
    x = signal(pooling)
    found = pool(torch.from_numpy(x))
    np.testing.assert_allclose(found, reference_avg_pool(x, pooling, counted), atol=1e-12)


@DRAWN
@given(pooling=poolings(), p=st.sampled_from([0.5, 1.0, 2.0, 3.5]))
def test_lp_pool_equals_reference(pooling, p):
    pool = layer(GridLpPool, pooling, p=p)
    assume(fits(pooling))
    x = signal(pooling)
    np.testing.assert_allclose(pool(torch.from_numpy(x)), reference_lp_pool(x, pooling, p), rtol=1e-10, atol=1e-12)


@DRAWN
@given(pooling=poolings(), more=st.integers(0, 2))
def test_unpool_equals_reference(pooling, more):
    pool = layer(GridMaxPool, pooling)
    assume(fits(pooling) and all_windows_hold_samples(pooling))
    values, switches = pool.with_switches(torch.from_numpy(signal(pooling)))
    values = values + torch.randn_like(values)  # so that values with the same index differ
    size = (pooling.shape[0] + more, *pooling.shape[1:])
    is_plain = all(sides == ("zeros", "zeros") for sides in pooling.border.modes)
    # With other borders windows may have the same maximum.
    surface = Plane(len(size), border="zeros" if is_plain else "circular")
    spans = tuple(map(span, pooling.kernel, pooling.dilation))
    found = MaxUnpool(spans, pooling.stride, surface=surface)(values, switches, size)
    np.testing.assert_allclose(found, reference_unpool(values.numpy(), switches.numpy(), size), atol=1e-12)


@pytest.mark.parametrize("kind", [GridMaxPool, GridAvgPool])
@pytest.mark.parametrize(("size", "before", "after"), [(1, 1, 1), (2, 1, 2), (2, 2, 1)])
def test_dilation_longer_than_the_axis(kind, size, before, after):
    """A window with taps only before and after the axis would give −∞ or 0 / 0."""
    for ends in (("zeros", "zeros"), ("replicate", "replicate")):
        pooling = Pooling(Border((ends,)), (size,), (2,), (1,), ((before, after),), (size + 1,), False)
        x = torch.full((1, 1, size), -3.0)
        if ends[0] == "zeros":
            with pytest.raises(
                InputError, match=rf"input=\({size},\): is so small that a window of dilation {size + 1}"
            ):
                layer(kind, pooling)(x)
        else:
            assert (layer(kind, pooling)(x) == -3).all()


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_lp_pool_of_zeros_has_zero_gradient(p):
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    x[..., 2:] = torch.arange(1, 9).view(4, 2)
    x.requires_grad_()
    y = LpPool(2, p=p)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (y[..., 0] == 0).all()
    assert (gradient[..., :2] == 0).all()
    assert torch.autograd.gradcheck(LpPool(2, p=p), x.detach()[..., 2:].requires_grad_())


@pytest.mark.parametrize("padding", [1, "same_upper", ((1, 0), (0, 1))])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_switches_of_windows_of_minus_infinity_lie_in_the_grid(padding, ceil_mode):
    x = torch.full((1, 2, 5, 4), -torch.inf)
    values, switches = MaxPool(3, 2, padding, ceil_mode=ceil_mode, return_switches=True)(x)
    assert (values == -torch.inf).all()
    assert ((switches >= 0) & (switches < 20)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(dtype):
    """Unpooling returns maxima of overlapping windows unchanged; means are rounded twice at most."""
    x = torch.randn(2, 3, 9, 9).to(dtype)
    values, switches = MaxPool(5, 1, 2, return_switches=True)(x)
    back = MaxUnpool(5, 1, 2)(values, switches)
    assert back.dtype == dtype
    assert ((back == 0) | (back == x)).all()
    x = torch.rand(2, 3, 9, 9).to(dtype) + 1
    for padding, ceil_mode in ((1, False), (1, True), ("same_upper", False)):
        found, exact = (AvgPool(3, 2, padding, ceil_mode)(signal) for signal in (x, x.double()))
        torch.testing.assert_close(found.double(), exact, rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda values, switches: MaxUnpool(2)(values, switches, (2, 2)), r"switches='0 to 6': must be inside output_"),
        (lambda values, switches: MaxUnpool(2)(values, switches - 9), "switches='-9 to -3': must be inside output_"),
        (
            lambda values, switches: MaxUnpool(2)(values, switches, (16,)),
            r"output_size=\(16,\): must be a whole number",
        ),
        (
            lambda values, switches: LpPool(2, p=float("inf")),
            "p=inf: must be a number above 0 and finite; use p=2 for the",
        ),
    ],
)
def test_invalid_arguments_are_refused(make, text):
    with pytest.raises(InputError, match=text):
        make(torch.ones(1, 1, 2, 2), torch.tensor([[[[0, 2], [4, 6]]]]))


def test_switches_may_have_any_integer_dtype():
    values, switches = MaxPool(2, return_switches=True)(torch.arange(16.0).view(1, 1, 4, 4))
    assert torch.equal(MaxUnpool(2)(values, switches.int()), MaxUnpool(2)(values, switches))
