"""Sizes, taps and values of an explanation are those of the real layers, and both refuse the same."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from asked import Asked, asked
from hypothesis import given, settings
from hypothesis import strategies as st

import omniconv as oc
from omniconv.errors import InputError
from omniconv.explain.building import convolution_geometry, pooling_geometry, transposed_geometry
from omniconv.explain.figures import kernel_weights, ramp, shuffled
from omniconv.explain.geometry import Geometry
from omniconv.explain.pooling import Pooling
from omniconv.explain.results import Window, convolve, scatter
from omniconv.explain.unpooling import unpooling_story


def refused(make):
    """What is made, or ``None`` where it is refused."""
    try:
        return make()
    except InputError:
        return None


def results(windows: list[Window], geometry: Geometry) -> np.ndarray:
    return np.array([window.result for window in windows], float).reshape(geometry.outputs)


def layer_of(name, question: Asked, **more):
    """A real layer of one channel with the explanation's weights."""
    layer = getattr(oc.nn, f"{name}{len(question.sizes)}d")(
        1, 1, **question.options, bias=False, padding_mode=question.modes, dtype=torch.float64, **more
    )
    weights = torch.tensor(kernel_weights(question.kernel, 0), dtype=torch.float64)
    layer.weight.data = weights.view(1, 1, *question.kernel)
    return layer


@settings(deadline=None, max_examples=250)
@given(asked(), st.sampled_from([0.0, 3.5]))
def test_convolutions(question, value):
    def explained():
        geometry = convolution_geometry(*question.words.parsed(value))
        return geometry, convolve(geometry, ramp(question.sizes, 0), kernel_weights(question.kernel, 0))

    found = refused(explained)
    expected = refused(lambda: layer_of("Conv", question, padding_value=value)(question.ramp))
    assert (found is None) == (expected is None)
    if found is not None:
        geometry, windows = found
        assert geometry.outputs == tuple(expected.shape[2:])
        np.testing.assert_array_equal(results(windows, geometry), expected[0, 0].detach())


def landing(geometry: Geometry, question: Asked) -> np.ndarray:
    """For each window and sample the weights that join them."""
    weights = kernel_weights(question.kernel, 0)
    matrix = np.zeros((prod(geometry.outputs), prod(geometry.sizes)))
    for row, place in enumerate(geometry.places):
        for tap, weight in zip(geometry.window(place), weights, strict=True):
            if tap.source is not None:
                matrix[row, tap.source] += weight
    return matrix


@settings(deadline=None, max_examples=100)
@given(asked(largest=5))
def test_taps_of_convolutions(question):
    layer = refused(lambda: layer_of("Conv", question))
    geometry = refused(lambda: convolution_geometry(*question.words.parsed()))
    if geometry is not None:
        jacobian = torch.autograd.functional.jacobian(layer, question.ramp)
        np.testing.assert_array_equal(landing(geometry, question), jacobian.reshape(prod(geometry.outputs), -1))


@st.composite
def transposed(draw):
    question = draw(asked(largest=4))
    if isinstance(question.padding, str) and draw(st.booleans()):
        return question, (0,) * len(question.sizes)
    return question, tuple(draw(st.integers(0, 3)) for _ in question.sizes)


@settings(deadline=None, max_examples=250)
@given(transposed())
def test_transposed_convolutions(drawn):
    question, extra = drawn
    values = ramp(question.sizes, 0)
    geometry = refused(lambda: transposed_geometry(*question.words.parsed(), extra))
    layer = refused(lambda: layer_of("ConvTranspose", question, output_padding=extra))
    expected = None if layer is None else refused(lambda: layer(question.ramp))
    assert (geometry is None) == (expected is None)
    if geometry is not None:
        found = np.zeros(prod(geometry.sizes))
        for window in scatter(geometry, values, kernel_weights(question.kernel, 0)):
            for tap, write in zip(window.taps, window.reads, strict=True):
                if tap.source is not None:
                    found[tap.source] += write
        np.testing.assert_array_equal(found.reshape(geometry.sizes), expected[0, 0].detach())
        jacobian = torch.autograd.functional.jacobian(layer, question.ramp)
        np.testing.assert_array_equal(landing(geometry, question).T, jacobian.reshape(prod(geometry.sizes), -1))


@st.composite
def poolings(draw):
    kind = draw(st.sampled_from(["max", "average", "lp"]))
    counted = kind == "average" and draw(st.booleans())
    return Pooling(kind, draw(st.booleans()), counted, draw(st.sampled_from([0.5, 1.0, 2.0, 3.5])))


def pool_of(question: Asked, pooling: Pooling):
    options = question.options | {"ceil_mode": pooling.ceil_mode, "surface": question.surface}
    if pooling.kind == "max":
        return oc.nn.MaxPool(**options, return_switches=True)
    if pooling.kind == "average":
        return oc.nn.AvgPool(**options, count_include_pad=pooling.count_include_pad)
    return oc.nn.LpPool(**options, p=pooling.p)


def pooled_by_layer(question: Asked, pooling: Pooling):
    """Values and switches, or ``None`` where the layer refuses, or where a window had nothing to take."""
    layer = refused(lambda: pool_of(question, pooling))
    found = None if layer is None else refused(lambda: layer(signal(question)))
    values, switches = found if isinstance(found, tuple) else (found, None)
    return None if values is None or not values.isfinite().all() else (values, switches)


def signal(question: Asked) -> torch.Tensor:
    return torch.tensor(shuffled(question.sizes, 0), dtype=torch.float64).view(1, 1, *question.sizes)


@settings(deadline=None, max_examples=400)
@given(asked(), poolings())
def test_poolings(question, pooling):
    def explained():
        geometry = pooling_geometry(*question.words.parsed(), pooling.ceil_mode)
        return geometry, pooling.windows(geometry, shuffled(question.sizes, 0))

    found, expected = refused(explained), pooled_by_layer(question, pooling)
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
    question = Asked((5, 6), (3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1), ((mode, mode), (mode, mode)))
    pooling = Pooling("max")
    values, switches = oc.nn.MaxPool(**question.options, return_switches=True, surface=oc.Plane(2, mode))(
        signal(question)
    )
    windows = pooling.windows(pooling_geometry(*question.words.parsed(), False), shuffled((5, 6), 0))
    assert [window.result for window in windows] == values.flatten().tolist()
    assert [window.switch for window in windows] == switches.flatten().tolist()


@settings(deadline=None, max_examples=150)
@given(asked(), st.booleans())
def test_unpooling(question, ceil_mode):
    pooling = Pooling("max", ceil_mode)
    story = refused(lambda: unpooling_story(pooling_geometry(*question.words.parsed(), ceil_mode), pooling))
    pooled = pooled_by_layer(question, pooling)
    assert (story is None) == (pooled is None)
    if story is not None:
        back = oc.nn.MaxUnpool(question.kernel, question.stride, surface=oc.Plane(len(question.sizes)))
        expected = back(*pooled, output_size=question.sizes)[0, 0]
        found = np.zeros((1, *question.sizes)[-2:])
        for step in story.steps:
            for fill in step.fills:
                if fill.spot[0] == 2:
                    found[fill.spot[1:]] = float(fill.text)
        np.testing.assert_array_equal(found.reshape(question.sizes), expected)
