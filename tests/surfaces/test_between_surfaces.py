from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from fields import linear, rotation_about, smooth
from scipy.spatial.transform import Rotation

from omniconv.errors import InputError
from omniconv.nn.resampling.resizing import Resample
from omniconv.surfaces import (
    Cubemap,
    Equirectangular,
    Healpix,
    Icosahedron,
    Icosphere,
    Plane,
    map_between,
    panorama,
    resample,
    rotate,
    rotation_of,
)
from omniconv.surfaces.resampling.samples import Samples

KINDS = ("equirectangular", "icosphere", "icosahedron", "healpix", "cubemap")
PAIRS = [(source, target) for source in KINDS for target in KINDS]
ANY_ROTATION = Rotation.from_euler("zyx", [0.4, 1.1, -2.0]).as_matrix()


def samples_of(kind, level):
    """Surfaces of about the same number of samples at the same level."""
    if kind == "equirectangular":
        return Samples.of(Equirectangular(), (2 ** (level + 1), 2 ** (level + 2)))
    made = {"icosphere": Icosphere, "icosahedron": Icosahedron, "healpix": Healpix, "cubemap": Cubemap}[kind]
    return Samples.of(made(level if kind.startswith("ico") else 2**level))


def mapped(source, target, mode="linear"):
    return map_between(source.surface, target.surface, mode, source.shape, target.shape).operators[0]


def errors_of(field, source, target):
    return np.abs(mapped(source, target) @ field(source.directions).T - field(target.directions).T).max()


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("levels", [(2, 2), (1, 3), (3, 1), (2, 0), (0, 2), (4, 1)])
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_constants_are_kept(source, target, levels, mode):
    before, after = samples_of(source, levels[0]), samples_of(target, levels[1])
    operator = mapped(before, after, mode)
    assert operator.shape == (after.count, before.count)
    np.testing.assert_allclose(operator @ np.full(before.count, 0.7), 0.7, rtol=1e-12)
    assert operator.data.min() >= 0
    if mode == "nearest":
        assert operator.nnz == after.count


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("kind", KINDS)
def test_map_of_a_surface_to_itself_is_the_identity(kind, mode):
    signal = np.random.default_rng(0).random((2, *samples_of(kind, 2).shape))
    surface = samples_of(kind, 2).surface
    np.testing.assert_array_equal(resample(signal, surface, surface, mode, signal.shape[1:]), signal)
    np.testing.assert_array_equal(rotate(signal, surface, np.eye(3), mode), signal)


@pytest.mark.parametrize("field", [linear, smooth])
@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_error_falls_by_four_when_both_spacings_halve(source, target, field):
    coarse, fine = (errors_of(field, samples_of(source, level), samples_of(target, level)) for level in (4, 5))
    assert coarse / fine > 3.3
    assert fine < 0.012


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_error_falls_by_four_for_averages_too(source, target):
    coarse, fine = (errors_of(linear, samples_of(source, level + 2), samples_of(target, level)) for level in (3, 4))
    assert coarse / fine > 3.1
    assert fine < 0.012


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_shrinking_keeps_the_mean_to_second_order(source, target):
    means = []
    for level in (2, 3):
        before, after = samples_of(source, level + 2), samples_of(target, level)
        values = smooth(before.directions)
        means.append(abs(after.areas @ (mapped(before, after) @ values) - before.areas @ values) / (4 * np.pi))
    assert means[1] < max(means[0] / 2.5, 3e-3)
    assert means[1] < 5e-3


@pytest.mark.parametrize(("source", "target"), [(s, t) for s, t in PAIRS if t != "equirectangular"])
def test_shrinking_counts_every_sample_by_its_area(source, target):
    before, after = samples_of(source, 5), samples_of(target, 3)
    counted = after.areas @ mapped(before, after) / before.areas
    assert 0.5 < counted.min() < counted.max() < 1.5


@pytest.mark.parametrize("target", KINDS)
def test_shrinking_averages_noise(target):
    before, after = samples_of("healpix", 5), samples_of(target, 2)
    noise = np.random.default_rng(0).normal(size=before.count)
    assert (mapped(before, after) @ noise).std() < 0.25


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "equirectangular"])
def test_round_trip_of_a_panorama_is_second_order(kind):
    errors = []
    for level in (4, 5):
        sphere, flat = samples_of(kind, level), samples_of("equirectangular", level)
        field = smooth(flat.directions).reshape(flat.shape)
        there = resample(field, flat.surface, sphere.surface)
        errors.append(np.abs(resample(there, sphere.surface, flat.surface, target_shape=flat.shape) - field).max())
    assert errors[0] / errors[1] > 3.3
    assert errors[1] < 0.015


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, "U3"])
@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_nearest_keeps_labels(source, target, dtype):
    before, after = samples_of(source, 3), samples_of(target, 3)
    labels = (before.directions[:, 2] > 0).astype(int).reshape(before.shape) * 3
    labels = labels.astype(dtype)
    found = resample(labels, before.surface, after.surface, "nearest", after.shape)
    assert found.dtype == labels.dtype
    assert set(found.ravel()) == set(labels.ravel())
    far = (np.abs(after.directions[:, 2]) > 0.3).reshape(after.shape)
    truth = ((after.directions[:, 2] > 0).astype(int).reshape(after.shape) * 3).astype(dtype)
    np.testing.assert_array_equal(found[far], truth[far])


@pytest.mark.parametrize(("dtype", "result"), [(np.uint8, "f4"), (np.float32, "f4"), (np.float64, "f8"), ("c8", "c8")])
def test_linear_result_is_floating_point(dtype, result):
    assert resample(np.ones((2, 12), dtype), Healpix(1), Cubemap(2)).dtype == np.dtype(result)


def test_target_of_any_size_is_large_enough_by_default():
    assert resample(np.zeros((2, 3, 162)), Icosphere(2), Equirectangular()).shape == (2, 3, 16, 32)
    assert map_between(Cubemap(8), Equirectangular()).output_shape == (16, 32)


def test_maps_are_cached_and_have_the_shapes_of_signals():
    first = map_between(Equirectangular(), Cubemap(4), source_shape=(16, 32))
    assert map_between(Equirectangular(), Cubemap(4), source_shape=(16, 32)).computed is first.computed
    assert (first.taps, first.input_shape, first.output_shape) == (1, (16, 32), (6, 4, 4))


def test_tangent_kernels_have_the_samples_of_a_panorama():
    tangent = Equirectangular(height=8, kernels="tangent")
    image = np.random.default_rng(0).random((8, 16))
    np.testing.assert_array_equal(resample(image, Equirectangular(), tangent), image)
    found, expected = (resample(image, surface, Icosphere(1)) for surface in (tangent, Equirectangular()))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert resample(np.ones((32, 64)), Equirectangular(), tangent).shape == (8, 16)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resample_layer_equals_the_map_and_its_transpose(mode):
    layer = Resample(Cubemap(4), Icosphere(2), mode).double()
    x = torch.rand(2, 3, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    expected = resample(x.detach().numpy(), Cubemap(4), Icosphere(2), mode)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12)
    y.sum().backward()
    columns = np.asarray(layer.stencil.operators[0].sum(axis=0)).reshape(6, 4, 4)
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(columns, x.shape), rtol=1e-12)


def vertex_turn(surface):
    """A fifth of a turn about a vertex of the icosahedron."""
    vertex = np.array([0, 0, 1.0]) if isinstance(surface, Icosahedron) else Icosphere(0).directions()[0]
    return Rotation.from_rotvec(vertex * 2 * np.pi / 5).as_matrix()


SYMMETRIES = [
    (Cubemap(5), rotation_about("x", np.pi / 2)),
    (Cubemap(4), rotation_about("y", -np.pi / 2)),
    (Cubemap(4), rotation_about("z", np.pi)),
    (Healpix(8), rotation_about("z", np.pi / 2)),
    (Icosahedron(3), vertex_turn(Icosahedron(3))),
    (Icosphere(3), vertex_turn(Icosphere(3))),
    (Equirectangular(), rotation_about("z", 2 * np.pi * 5 / 32)),
]


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(("surface", "rotation"), SYMMETRIES, ids=str)
def test_rotation_by_a_symmetry_is_a_permutation(surface, rotation, mode):
    samples = Samples.of(surface, (16, 32) if surface.any_size else None)
    signal = np.random.default_rng(0).random(samples.shape)
    operator = rotation_of(surface, rotation, mode, samples.shape).operators[0]
    assert operator.nnz == samples.count
    assert (operator.data == 1).all()
    assert len(np.unique(operator.indices)) == samples.count
    np.testing.assert_allclose(samples.directions[operator.indices] @ rotation.T, samples.directions, atol=1e-12)
    turned = rotate(signal, surface, rotation, mode)
    np.testing.assert_array_equal(rotate(turned, surface, rotation.T, mode), signal)


def test_step_of_longitude_rolls_a_panorama():
    image = np.random.default_rng(0).random((3, 16, 32))
    turned = rotate(image, Equirectangular(), rotation_about("z", 2 * np.pi * 5 / 32))
    np.testing.assert_array_equal(turned, np.roll(image, 5, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_rotated_field_equals_the_field_at_rotated_directions(kind):
    errors, back = [], []
    for level in (4, 5):
        samples = samples_of(kind, level)
        signal = smooth(samples.directions).reshape(samples.shape)
        turned = rotate(signal, samples.surface, ANY_ROTATION)
        truth = smooth(samples.directions @ ANY_ROTATION).reshape(samples.shape)
        errors.append(np.abs(turned - truth).max())
        back.append(np.abs(rotate(turned, samples.surface, ANY_ROTATION.T) - signal).max())
    assert errors[0] / errors[1] > 3
    assert back[0] / back[1] > 3
    assert back[1] < 0.02


def test_rotation_is_that_of_panoramas():
    image = np.random.default_rng(0).random((2, 16, 32))
    for mode in ("linear", "nearest"):
        turned = rotate(image, Equirectangular(), ANY_ROTATION, mode)
        np.testing.assert_allclose(turned, panorama.rotate(image, ANY_ROTATION, mode), atol=1e-7)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: map_between(Plane(), Icosphere(2)), "surface='plane:ndim=2,border=zeros': has no directions"),
        (lambda: map_between(Icosphere(2), Plane()), "use oc.Equirectangular() for panoramas"),
        (lambda: map_between(Icosphere(2), "cubemap:4"), "surface='cubemap:4': must be a surface"),
        (lambda: map_between("cubemap:4", Icosphere(2)), "surface='cubemap:4': must be a surface"),
        (lambda: map_between(Equirectangular(), Icosphere(2)), "source_shape=None: is required"),
        (lambda: map_between(Equirectangular(), Equirectangular(), source_shape=(4, 8)), "target_shape=None: is"),
        (lambda: map_between(Equirectangular(), Icosphere(2), source_shape=(4, 0)), "must be 2 whole numbers from 1"),
        (lambda: map_between(Equirectangular(), Icosphere(2), source_shape=8), "source_shape=8: must be 2 whole"),
        (lambda: map_between(Icosphere(2), Cubemap(2), target_shape=(6, 3, 3)), "must end in the shape (6, 2, 2)"),
        (lambda: map_between(Icosphere(2), Cubemap(2), "cubic"), "mode='cubic': must be one of linear, nearest"),
        (lambda: resample(np.zeros(163), Icosphere(2), Cubemap(2)), "signal=(163,): must end in the shape (162,)"),
        (lambda: resample(np.zeros(9), Equirectangular(), Cubemap(2)), "signal=(9,): must have at least 2 axes"),
        (lambda: resample(np.array(["a"] * 12), Healpix(1), Cubemap(2)), "must have a numeric dtype"),
        (lambda: resample(np.zeros((4, 8)), Plane(), Cubemap(2)), "has no directions on a sphere"),
        (lambda: rotate(np.zeros((4, 8)), Plane(), np.eye(3)), "has no directions on a sphere"),
        (lambda: rotate(np.zeros(12), Healpix(1), np.ones((3, 3))), "must be an orthogonal 3×3 matrix"),
        (lambda: rotate(np.zeros(12), Healpix(1), np.eye(2)), "must be an orthogonal 3×3 matrix"),
        (lambda: rotate(np.zeros(12), Healpix(1), np.eye(3), "area"), "mode='area'"),
        (lambda: Resample(Plane(), Cubemap(2)), "has no directions on a sphere"),
        (lambda: Plane().interpolation_matrix(np.eye(3)), "has no directions on a sphere"),
        (lambda: Plane().nearest_sample(np.eye(3)), "has no directions on a sphere"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_rejected(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
