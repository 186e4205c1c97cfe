"""Sizes, taps and values of an explanation are those of the real layers, and both refuse the same arguments."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from explain_cases import LayerCase, layer_cases
from hypothesis import given, settings
from hypothesis import strategies as st

import omniconv as oc
from omniconv.errors import InputError
from omniconv.explain.pool import Pooling, unpool_scene
from omniconv.explain.scene import kernel_weights, ramp, shuffled
from omniconv.explain.windows import (
    Geometry,
    Window,
    conv_geometry,
    convolve,
    pool_geometry,
    scatter,
    transposed_geometry,
)


def unless_refused(make):
    """Return the result of a call, or ``None`` if it raises InputError."""
    try:
        return make()
    except InputError:
        return None


def results(windows: list[Window], geometry: Geometry) -> np.ndarray:
    return np.array([window.result for window in windows], float).reshape(geometry.outputs)


def layer_of(name, case: LayerCase, **more):
    """Return a real layer of one channel with the weights of the explanation."""
    layer = getattr(oc.nn, f"{name}{len(case.sizes)}d")(
        1, 1, **case.options, bias=False, padding_mode=case.modes, dtype=torch.float64, **more
    )
    weights = torch.tensor(kernel_weights(case.kernel, 0), dtype=torch.float64)
    layer.weight.data = weights.view(1, 1, *case.kernel)
    return layer


@settings(deadline=None, max_examples=250)
@given(layer_cases(), st.sampled_from([0.0, 3.5]))
def test_convolutions(case, value):
    def explained():
        geometry = conv_geometry(*case.options_text.parse(value))
        return geometry, convolve(geometry, ramp(case.sizes, 0), kernel_weights(case.kernel, 0))

    found = unless_refused(explained)
    expected = unless_refused(lambda: layer_of("Conv", case, padding_value=value)(case.ramp))
    assert (found is None) == (expected is None)
    if found is not None:
        geometry, windows = found
        assert geometry.outputs == tuple(expected.shape[2:])
        np.testing.assert_array_equal(results(windows, geometry), expected[0, 0].detach())


def dense_matrix(geometry: Geometry, case: LayerCase) -> np.ndarray:
    """Return the weight of each sample in each window."""
    weights = kernel_weights(case.kernel, 0)
    matrix = np.zeros((prod(geometry.outputs), prod(geometry.sizes)))
    for row, place in enumerate(geometry.indices):
        for tap, weight in zip(geometry.taps(place), weights, strict=True):
            if tap.source is not None:
                matrix[row, tap.source] += weight
    return matrix


@settings(deadline=None, max_examples=100)
@given(layer_cases(largest=5))
def test_taps_of_convolutions(case):
    layer = unless_refused(lambda: layer_of("Conv", case))
    geometry = unless_refused(lambda: conv_geometry(*case.options_text.parse()))
    if geometry is not None:
        jacobian = torch.autograd.functional.jacobian(layer, case.ramp)
        np.testing.assert_array_equal(dense_matrix(geometry, case), jacobian.reshape(prod(geometry.outputs), -1))


@st.composite
def transposed(draw):
    case = draw(layer_cases(largest=4))
    if isinstance(case.padding, str) and draw(st.booleans()):
        return case, (0,) * len(case.sizes)
    return case, tuple(draw(st.integers(0, 3)) for _ in case.sizes)


@settings(deadline=None, max_examples=250)
@given(transposed())
def test_transposed_convolutions(drawn):
    case, extra = drawn
    values = ramp(case.sizes, 0)
    geometry = unless_refused(lambda: transposed_geometry(*case.options_text.parse(), extra))
    layer = unless_refused(lambda: layer_of("ConvTranspose", case, output_padding=extra))
    expected = None if layer is None else unless_refused(lambda: layer(case.ramp))
    assert (geometry is None) == (expected is None)
    if geometry is not None:
        found = np.zeros(prod(geometry.sizes))
        for window in scatter(geometry, values, kernel_weights(case.kernel, 0)):
            for tap, write in zip(window.taps, window.values, strict=True):
                if tap.source is not None:
                    found[tap.source] += write
        np.testing.assert_array_equal(found.reshape(geometry.sizes), expected[0, 0].detach())
        jacobian = torch.autograd.functional.jacobian(layer, case.ramp)
        np.testing.assert_array_equal(dense_matrix(geometry, case).T, jacobian.reshape(prod(geometry.sizes), -1))


@st.composite
def poolings(draw):
    kind = draw(st.sampled_from(["max", "average", "lp"]))
    counted = kind == "average" and draw(st.booleans())
    return Pooling(kind, draw(st.booleans()), counted, draw(st.sampled_from([0.5, 1.0, 2.0, 3.5])))


def pool_of(case: LayerCase, pooling: Pooling):
    options = case.options | {"ceil_mode": pooling.ceil_mode, "surface": case.surface}
    if pooling.kind == "max":
        return oc.nn.MaxPool(**options, return_switches=True)
    if pooling.kind == "average":
        return oc.nn.AvgPool(**options, count_include_pad=pooling.count_include_pad)
    return oc.nn.LpPool(**options, p=pooling.p)


def pooled_by_layer(case: LayerCase, pooling: Pooling):
    """Return values and switches, or ``None`` if the layer raises or a window has no sample."""
    layer = unless_refused(lambda: pool_of(case, pooling))
    found = None if layer is None else unless_refused(lambda: layer(signal(case)))
    values, switches = found if isinstance(found, tuple) else (found, None)
    return None if values is None or not values.isfinite().all() else (values, switches)


def signal(case: LayerCase) -> torch.Tensor:
    return torch.tensor(shuffled(case.sizes, 0), dtype=torch.float64).view(1, 1, *case.sizes)


@settings(deadline=None, max_examples=400)
@given(layer_cases(), poolings())
def test_poolings(case, pooling):
    def explained():
        geometry = pool_geometry(*case.options_text.parse(), pooling.ceil_mode)
        return geometry, pooling.windows(geometry, shuffled(case.sizes, 0))

    found, expected = unless_refused(explained), pooled_by_layer(case, pooling)
    assert (found is None) == (expected is None)
    if found is not None:
        geometry, windows = found
        values, switches = expected
        assert geometry.outputs == tuple(values.shape[2:])
        np.testing.assert_allclose(results(windows, geometry), values[0, 0], rtol=1e-9)
        if pooling.kind == "max":
            assert [window.switch for window in windows] == switches.flatten().tolist()


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_poolings_on_planes_as_users_build_them(mode):
    case = LayerCase((5, 6), (3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1), ((mode, mode), (mode, mode)))
    pooling = Pooling("max")
    values, switches = oc.nn.MaxPool(**case.options, return_switches=True, surface=oc.Plane(2, mode))(signal(case))
    windows = pooling.windows(pool_geometry(*case.options_text.parse(), False), shuffled((5, 6), 0))
    assert [window.result for window in windows] == values.flatten().tolist()
    assert [window.switch for window in windows] == switches.flatten().tolist()


@settings(deadline=None, max_examples=150)
@given(layer_cases(), st.booleans())
def test_unpooling(case, ceil_mode):
    pooling = Pooling("max", ceil_mode)
    scene = unless_refused(lambda: unpool_scene(pool_geometry(*case.options_text.parse(), ceil_mode), pooling))
    pooled = pooled_by_layer(case, pooling)
    assert (scene is None) == (pooled is None)
    if scene is not None:
        back = oc.nn.MaxUnpool(case.kernel, case.stride, surface=oc.Plane(len(case.sizes)))
        expected = back(*pooled, output_size=case.sizes)[0, 0]
        found = np.zeros((1, *case.sizes)[-2:])
        for step in scene.steps:
            for update in step.updates:
                if update.cell[0] == 2:
                    found[update.cell[1:]] = float(update.text)
        np.testing.assert_array_equal(found.reshape(case.sizes), expected)
