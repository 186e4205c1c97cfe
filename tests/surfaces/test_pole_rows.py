"""Grids with rows on the poles are told apart from panoramas of cell centres, once for each size."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import omniconv as oc
from omniconv.data.image_notes import POLE_ROWS as POLE_ROWS_NOTE
from omniconv.data.image_notes import check_images
from omniconv.surfaces import Equirectangular, Healpix, Icosphere, View, panorama, resample, rotate, view_of

SURFACE = Equirectangular()
POLE_ROWS = [(19, 36), (91, 144), (91, 180), (181, 360)]
"""Grids of weather and climate data with rows on both poles."""
SAID = r"panorama of \d+ × \d+: its rows are taken as cell centres, .*; if so, average adjacent rows"


@pytest.fixture(autouse=True)
def forgotten():
    """Forget the sizes that other tests were warned of."""
    panorama._said.clear()
    panorama._known_to_layers.clear()


@pytest.mark.parametrize("shape", POLE_ROWS)
@pytest.mark.parametrize(
    "use",
    [
        SURFACE.areas,
        SURFACE.directions,
        lambda shape: SURFACE.nearest_sample(np.eye(3), shape),
        lambda shape: SURFACE.interpolation_matrix(np.eye(3), shape),
        lambda shape: resample(np.ones(shape), SURFACE, Icosphere(1)),
        lambda shape: rotate(np.ones(shape), SURFACE, np.eye(3), "nearest"),
        lambda shape: view_of(np.ones(shape), View((4, 4)), mode="nearest"),
        lambda shape: panorama.rotate(np.ones(shape), np.eye(3)),
        lambda shape: Healpix(1).from_equirectangular(np.ones(shape)),
        lambda shape: Icosphere(1).from_equirectangular(np.ones(shape, np.uint8), "nearest"),
    ],
)
def test_geometry_warns_once_for_each_size(use, shape):
    with pytest.warns(UserWarning, match=SAID):
        use(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(shape)


@pytest.mark.parametrize(
    "use",
    [
        oc.nn.Conv(1, 1, surface=SURFACE),
        oc.nn.AvgPool(padding="same_upper", surface=SURFACE),
        oc.nn.GlobalAvgPool(SURFACE),
        oc.nn.Upsample(surface=SURFACE),
        oc.models.UNet(1, 1, SURFACE, width=2, depth=3).eval(),
        oc.models.Classifier(1, 2, SURFACE, width=2, depth=3).eval(),
        lambda x: SURFACE.from_equirectangular(x.numpy()),
    ],
    ids=lambda use: type(use).__name__,
)
def test_layers_networks_and_data_warn_once(use):
    with pytest.warns(UserWarning, match="panorama of 91 × 180") as said:
        use(torch.rand(1, 1, 91, 180))
    assert len(said) == 1
    use(torch.rand(1, 1, 91, 180))


@pytest.mark.parametrize("size", [(90, 180), (100, 192), (74, 146), (98, 194), (90, 181), (33, 200), (182, 360)])
def test_feature_maps_are_not_warned_of(size):
    for depth in (1, 3):
        oc.models.UNet(1, 1, SURFACE, width=2, depth=depth).eval()(torch.rand(1, 1, *size))


def test_strips_are_no_grids_of_the_sphere():
    SURFACE.areas((33, 200))
    SURFACE.areas((33, 31))


def test_averages_of_adjacent_rows_are_cell_centres():
    """The cure of the warning: areas of the averaged grid give the integral that the rows on the poles do not."""
    latitude = np.deg2rad(np.linspace(90, -90, 181))
    x = np.repeat(np.sin(latitude)[:, None], 360, axis=1)
    centres = (x[:-1, :] + x[1:, :]) / 2
    areas = SURFACE.areas(centres.shape)
    assert (areas * centres**2).sum() / areas.sum() == pytest.approx(1 / 3, abs=1e-4)


def test_compiled_layers_are_unaffected():
    torch._dynamo.reset()  # an error while tracing, as another test raises it, leaves a layer eager
    layer = torch.compile(oc.nn.Conv(1, 1, surface=SURFACE), fullgraph=True, backend="eager")
    assert layer(torch.rand(1, 1, 19, 36)).shape == (1, 1, 19, 36)


@pytest.mark.parametrize(
    ("shape", "noted"), [((181, 360), True), ((91, 144), True), ((90, 180), False), ((25, 50), False)]
)
def test_commands_note_images_whose_rows_may_lie_on_the_poles(tmp_path, shape, noted):
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(tmp_path / "a.png")
    lines = check_images([tmp_path / "a.png"], spherical=True)
    assert (POLE_ROWS_NOTE in lines) == noted
    assert POLE_ROWS_NOTE not in check_images([tmp_path / "a.png"], spherical=False)
