"""The battery that every surface passes: the contract in the docstring of ``omniconv.surfaces.Surface``, as tests.

A test class of a surface inherits ``SurfaceContract`` and lists some surfaces of one level or more::

    class TestIcosphere(SurfaceContract):
        surfaces = (Icosphere(0), Icosphere(2, "raw"))
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from math import prod

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.surfaces import Border, RowStencil, Stencil, Surface, surface

GRID = (8, 16, 4)
"""Sizes of the axes of surfaces of any size."""
PANORAMAS = [(1, 1), (5, 3), (16, 32), (64, 16), (33, 200), (256, 512)]


def signal_shape(known: Surface) -> tuple[int, ...]:
    return GRID[: known.ndim] if known.any_size else known.shape


SUBSETS = {
    "known": lambda known: True,
    "spherical": lambda known: known.spherical,
    "resampled": lambda known: known.spherical and not known.any_size,
    "panoramic": lambda known: known.spherical or known.ndim == 2,
    "nested": lambda known: known.is_nested_prefix,
    "fine": lambda known: known.max_depth != 0,
}
"""Arguments of the tests, and the surfaces that each of them takes."""


class SurfaceContract:
    """Tests of the contract for each surface in ``surfaces``."""

    surfaces: tuple[Surface, ...] = ()

    def pytest_generate_tests(self, metafunc):
        for argument, condition in SUBSETS.items():
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, [known for known in self.surfaces if condition(known)], ids=str)

    def test_it_is_a_hashable_immutable_value(self, known):
        arguments = {field.name: getattr(known, field.name) for field in fields(known)}
        again = type(known)(**arguments)
        assert again == known
        assert hash(again) == hash(known)
        assert again is not known
        with pytest.raises(FrozenInstanceError):
            setattr(known, next(iter(arguments)), None)

    def test_its_name_gives_it_back(self, known):
        assert surface(str(known)) == known
        assert surface(known) is known
        assert str(known).startswith(known.short_name)

    def test_required_arguments_have_an_example(self, known):
        assert isinstance(type(known)(**known.example), Surface)

    def test_axes_are_counted(self, known):
        assert known.ndim == len(known.shape) >= known.kernel_ndim >= 1
        assert known.any_size == (None in known.shape)
        assert known.latitude_axis is None or 0 <= known.latitude_axis < known.ndim

    def test_levels_form_a_pyramid(self, known):
        if known.any_size:
            assert known.coarser() is known.finer() is known
            assert known.max_depth is None
            return
        assert known.finer().coarser() == known
        assert known.finer().max_depth == known.max_depth + 1
        assert prod(known.finer().shape) > prod(known.shape)
        coarsest = known
        for _ in range(known.max_depth):
            coarsest = coarsest.coarser()
        with pytest.raises(InputError):
            coarsest.coarser()

    def test_areas_cover_the_sphere(self, known):
        areas = known.areas(signal_shape(known))
        assert areas.shape == signal_shape(known)
        assert areas.dtype == np.float64
        assert areas.min() > 0
        if known.spherical:
            assert areas.sum() == pytest.approx(4 * np.pi, rel=1e-12)

    def test_directions_are_unit_vectors(self, spherical):
        directions = spherical.directions(signal_shape(spherical))
        assert directions.shape == (*signal_shape(spherical), 3)
        assert directions.dtype == np.float64
        np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, rtol=1e-13)
        if spherical.latitude_axis is not None:
            latitude = np.arcsin(np.moveaxis(directions[..., 2], spherical.latitude_axis, 0))
            np.testing.assert_allclose(np.diff(latitude, 2, axis=0), 0, atol=1e-12)
            assert (np.diff(latitude, axis=0) < 0).all()

    def test_finer_samples_start_with_the_coarser_ones(self, nested):
        np.testing.assert_allclose(nested.finer().directions()[: nested.shape[0]], nested.directions(), atol=1e-14)

    def test_samples_of_equal_area_are_marked(self, known):
        areas = known.areas(signal_shape(known))
        assert not known.equal_areas or areas.max() / areas.min() == pytest.approx(1, rel=1e-12)

    def test_nested_children_lie_in_their_parents(self, known):
        if count := known.nested_children:
            children = known.nearest_sample(known.finer().directions())
            np.testing.assert_array_equal(children, np.arange(known.shape[0]).repeat(count))

    def test_samples_are_found_at_their_own_directions(self, spherical):
        shape = signal_shape(spherical)
        directions, count = spherical.directions(shape).reshape(-1, 3), prod(shape)
        np.testing.assert_array_equal(spherical.nearest_sample(directions, shape), np.arange(count))
        matrix = spherical.interpolation_matrix(directions, shape)
        np.testing.assert_allclose(abs(matrix - np.eye(count)).max(), 0, atol=1e-8)

    def test_interpolation_is_of_second_order(self, spherical):
        shape = signal_shape(spherical)
        samples = spherical.directions(shape).reshape(-1, 3)
        directions = np.random.default_rng(0).normal(size=(500, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        matrix = spherical.interpolation_matrix(directions, shape)
        assert matrix.shape == (500, prod(shape))
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
        spacing = np.sqrt(spherical.areas(shape).max())
        assert np.abs(matrix @ samples - directions).max() < max(0.7 * spacing**2, 1e-12)
        nearest = samples[spherical.nearest_sample(directions, shape)]
        assert np.linalg.norm(nearest - directions, axis=1).max() < 1.5 * spacing

    @pytest.mark.parametrize("stride", [1, 2])
    def test_convolutions_have_neighbours_and_an_adjoint(self, known, stride):
        if stride == 2 and known.max_depth == 0:
            known = known.finer()
        neighbours = known.conv_neighbours(3, stride)
        if isinstance(neighbours, Border):
            assert (neighbours.ndim, neighbours.kernel_ndim) == (known.ndim, known.kernel_ndim)
            assert known.transposed_neighbours(3, stride) == neighbours == neighbours.adjoint
            return
        assert isinstance(neighbours, Stencil | RowStencil)
        output = known if stride == 1 else known.coarser()
        assert (neighbours.input_shape, neighbours.output_shape) == (known.shape, output.shape)
        assert (neighbours.adjoint.input_shape, neighbours.adjoint.output_shape) == (output.shape, known.shape)
        transposed = output.transposed_neighbours(3, stride)
        assert (transposed.input_shape, transposed.output_shape) == (output.shape, known.shape)
        assert transposed.taps == neighbours.taps
        if isinstance(neighbours, Stencil):
            for tap, back in zip(neighbours.operators, neighbours.adjoint.operators, strict=True):
                assert (back != tap.T).nnz == 0

    @pytest.mark.parametrize("ask", ["pool_neighbours", "window_neighbours"])
    def test_pooling_averages_by_area(self, fine, ask):
        neighbours = getattr(fine, ask)()
        assert isinstance(neighbours, Border | Stencil)
        if isinstance(neighbours, Border):
            return
        assert (neighbours.input_shape, neighbours.output_shape) == (fine.shape, fine.coarser().shape)
        for operator in neighbours.operators:
            np.testing.assert_allclose(operator.sum(axis=1), 1, rtol=1e-12)
            assert operator.data.min() >= 0
        if ask == "pool_neighbours":
            assert neighbours.taps == 1
            counted = fine.coarser().areas().ravel() @ neighbours.operators[0]
            np.testing.assert_allclose(counted, fine.areas().ravel(), rtol=1e-9)

    @pytest.mark.parametrize("mode", ["linear", "nearest"])
    def test_upsampling_keeps_constants(self, known, mode):
        neighbours = known.resize_neighbours(2, mode)
        assert isinstance(neighbours, Border | Stencil)
        if isinstance(neighbours, Border):
            return
        assert (neighbours.input_shape, neighbours.output_shape) == (known.shape, known.finer().shape)
        assert neighbours.taps == 1
        np.testing.assert_allclose(neighbours.operators[0].sum(axis=1), 1, rtol=1e-12)
        if mode == "nearest":
            assert neighbours.nnz == neighbours.outputs

    @pytest.mark.parametrize("mode", ["linear", "nearest"])
    @pytest.mark.parametrize("shape", PANORAMAS)
    def test_panorama_maps_keep_constants(self, panoramic, shape, mode):
        signal = panoramic.from_equirectangular(np.full((2, *shape), 0.7), mode)
        assert signal.shape == (2, *(shape if panoramic.any_size else panoramic.shape))
        np.testing.assert_allclose(signal, 0.7, rtol=1e-12)
        for height in (1, 7, 40):
            panorama = panoramic.to_equirectangular(signal, height, mode)
            assert panorama.shape == (2, height, 2 * height)
            np.testing.assert_allclose(panorama, 0.7, rtol=1e-12)

    def test_panorama_maps_keep_labels(self, panoramic):
        labels = np.array([3, 7, 250], dtype=np.uint8)[np.random.default_rng(0).integers(0, 3, (24, 48))]
        signal = panoramic.from_equirectangular(labels, "nearest")
        for result in (signal, *(panoramic.to_equirectangular(signal, height, "nearest") for height in (4, 20))):
            assert result.dtype == np.uint8
            assert set(np.unique(result)) <= {3, 7, 250}

    @pytest.mark.parametrize("height", [8, 16, 128])
    @pytest.mark.parametrize(("dtype", "result"), [("uint8", "f4"), ("float32", "f4"), ("float64", "f8")])
    def test_linear_panorama_maps_are_floating_point(self, resampled, height, dtype, result):
        image = np.random.default_rng(0).integers(0, 255, (height, 2 * height)).astype(dtype)
        signal = resampled.from_equirectangular(image)
        exact = resampled.from_equirectangular(image.astype(np.float64))
        np.testing.assert_allclose(signal, exact, rtol=1e-5, atol=1e-3)
        if height != resampled.panorama_height():  # else the panorama of a grid is the signal itself
            assert signal.dtype == result
        assert resampled.to_equirectangular(signal.astype(result), 4).dtype == result

    def test_panorama_maps_follow_the_directions(self, resampled):
        height = resampled.panorama_height()
        latitude = np.pi / 2 - (np.arange(height) + 0.5) * np.pi / height
        z = np.repeat(np.sin(latitude)[:, None], 2 * height, axis=1)
        spacing = np.sqrt(resampled.areas().max())
        signal = resampled.from_equirectangular(z)
        assert np.abs(signal - resampled.directions()[..., 2]).max() < spacing**2
        assert np.abs(resampled.to_equirectangular(signal, height) - z).max() < 2 * spacing**2
