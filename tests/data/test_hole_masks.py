"""Random holes: published distributions, one size everywhere on the sphere, and the same holes on every surface."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from omniconv.data.hole_masks import FRAME, HOLES, PIXEL_ANGLE, Brush, PlaneCanvas, SphereCanvas, canvas, draw_hole
from omniconv.errors import InputError
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane
from omniconv.training.settings import RunConfig

SURFACES = [
    (Plane(), (16, 24)), (Equirectangular(), (16, 32)), (Equirectangular(height=16, kernels="tangent"), (16, 32)),
    (Equirectangular(height=16, kernels="rows"), (16, 32)), (Cubemap(8), (6, 8, 8)), (Healpix(8), (768,)),
    (Icosphere(3), (642,)), (Icosahedron(3), (1280,)),
]  # fmt: skip

QUICK = [pytest.param(style, marks=[pytest.mark.slow] if style == "thin" else []) for style in HOLES]


@pytest.mark.parametrize("style", HOLES)
@pytest.mark.parametrize(("surface", "shape"), SURFACES, ids=str)
def test_every_surface_gets_holes_that_depend_on_the_seed_only(surface, shape, style):
    for seed in range(2):
        hole = draw_hole(style, np.random.default_rng(seed), surface, shape)
        assert hole.shape == shape
        assert hole.dtype == bool
        share = canvas(surface, shape).areas[hole.ravel()].sum()
        assert 0 < share < 1
        assert share <= HOLES[style].largest
        assert np.array_equal(hole, draw_hole(style, np.random.default_rng(seed), surface, shape))


def test_the_setting_has_the_names_of_the_styles():
    assert [RunConfig(holes=style).holes for style in HOLES] == list(HOLES)
    with pytest.raises(InputError, match=f"holes='none': must be one of {', '.join(HOLES)};"):
        RunConfig(holes="none")


def test_unknown_styles_are_named():
    with pytest.raises(InputError, match="holes='thik': must be one of deepfill, lama, thin, medium, thick"):
        draw_hole("thik", np.random.default_rng(0), Plane(), (8, 8))


def published(style, random):
    """Draw a hole by Pillow, pixel by pixel as the published generators do."""
    picture = Image.new("1", (FRAME, FRAME))
    draw = ImageDraw.Draw(picture)

    def stroke(segments):
        x, y = random.uniform(0, FRAME, 2)
        for angle, length, width in segments:
            end = np.clip((x + length * math.cos(angle), y + length * math.sin(angle)), 0, FRAME)
            draw.line([x, y, *end], fill=1, width=round(width))
            for at in ((x, y), end):
                draw.ellipse([at[0] - width / 2, at[1] - width / 2, at[0] + width / 2, at[1] + width / 2], fill=1)
            x, y = end

    def strokes(low, high, width, length):
        for index in range(random.integers(low, high + 1)):
            sign = -1 if index % 2 == 0 else 1
            stroke([(sign * (0.01 + random.integers(4)), 10 + random.integers(length), 5 + random.integers(width))
                    for _ in range(random.integers(1, 6))])  # fmt: skip

    def boxes(low, high, small, large, margin):
        for _ in range(random.integers(low, high + 1)):
            width, height = random.integers(small, large + 1, 2)
            x, y = margin + random.uniform(0, 1, 2) * (FRAME - 2 * margin - np.array([width, height]))
            draw.rectangle([round(x), round(y), round(x) + width - 1, round(y) + height - 1], fill=1)

    if style == "deepfill":
        left, top = random.integers(0, FRAME // 2 + 1, 2)
        across, down = random.integers(0, 17, 2)
        draw.rectangle([left + across, top + down, left + 127 - across, top + 127 - down], fill=1)
        mean = math.sqrt(2) * FRAME / 8
        for _ in range(random.integers(1, 4)):
            low, high = 2 * math.pi / 5 - random.uniform(0, 0.4189), 2 * math.pi / 5 + random.uniform(0, 0.4189)
            count, width = random.integers(4, 12), random.integers(12, 40)
            lengths = np.clip(random.normal(mean, 22, count), 0, 2 * mean)
            stroke([((-1) ** (index + 1) * random.uniform(low, high), length, width)
                    for index, length in enumerate(lengths)])  # fmt: skip
    elif style == "thin":
        strokes(4, 51, 10, 40)
    elif style == "medium":
        boxes(1, 6, 10, 50, 0) if random.random() < 0.3 / 1.3 else strokes(4, 6, 50, 100)
    else:
        box_share = 0.5 if style == "lama" else 0.3 / 1.3
        boxes(1, 4, 30, 150, 10) if random.random() < box_share else strokes(1, 6, 100, 200)
    share = np.asarray(picture).mean()
    return share if style in ("deepfill", "lama") or share <= 0.5 else published(style, random)


@pytest.mark.parametrize("style", QUICK)
def test_area_shares_are_those_of_the_published_generators(style):
    random, other, count = np.random.default_rng(1), np.random.default_rng(2), 120
    expected = np.array([published(style, random) for _ in range(count)])
    for size in ((64, 64), (64, 128)):
        found = np.array([draw_hole(style, other, Plane(), size).mean() for _ in range(count)])
        error = math.hypot(expected.std(), found.std()) / math.sqrt(count)
        # Larger images get more shapes of the same density, so only their means agree; 0.025: thin lines on 64 pixels.
        assert abs(found.mean() - expected.mean()) < 4 * error + 0.025, (found.mean(), expected.mean())
        if size == (64, 64):
            assert 0.7 < found.std() / expected.std() < 1.4


@pytest.mark.parametrize("style", QUICK)
def test_a_sample_is_in_the_hole_as_often_at_the_poles_as_at_the_equator(style):
    surface, count = Healpix(4), 80
    random = np.random.default_rng(3)
    holes = np.array([draw_hole(style, random, surface, surface.shape) for _ in range(count)])
    heights = surface.directions()[:, 2]
    parts = [holes[:, which].mean(axis=1) for which in (abs(heights) > 0.85, abs(heights) < 0.15)]
    difference = parts[0] - parts[1]
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(count)


def rotated_canvas(surface, rotation):
    drawing = SphereCanvas.__new__(SphereCanvas)
    directions = surface.directions() @ rotation.T

    class Rotated:
        spherical = True

        def directions(self, shape):
            return directions

        def areas(self, shape):
            return surface.areas()

    drawing.__init__(Rotated(), surface.shape)
    return drawing


def test_a_rotated_stroke_covers_the_rotated_samples():
    surface = Healpix(16)
    rotation = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    drawings = canvas(surface, surface.shape), rotated_canvas(surface, rotation)
    brushes = [Brush(np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))]
    brushes.append(Brush(rotation @ brushes[0].position, rotation @ brushes[0].heading))
    masks = [np.zeros(surface.shape, bool) for _ in drawings]
    for angle, length, width in ((0.3, 40, 30), (-2.0, 90, 12), (1.2, 150, 60)):
        brushes = [drawing.draw_segment(mask, brush, angle, length, width)
                   for drawing, mask, brush in zip(drawings, masks, brushes, strict=True)]  # fmt: skip
    assert masks[0].any()
    assert (masks[0] != masks[1]).sum() <= 2  # samples on the edge, by rounding to float32
    assert np.allclose(rotation @ brushes[0].position, brushes[1].position)
    assert np.allclose(rotation @ brushes[0].heading, brushes[1].heading)


@pytest.mark.parametrize("latitude", [0, 35, 70, 90])
def test_strokes_and_rectangles_have_their_area_at_every_latitude(latitude):
    surface = Healpix(64)
    drawing = canvas(surface, surface.shape)
    angle = math.radians(latitude)
    position, heading = (np.array([math.cos(a), 0, math.sin(a)]) for a in (angle, angle + math.pi / 2))
    mask = np.zeros(surface.shape, bool)
    drawing.draw_segment(mask, Brush(position, heading), 0.7, 80, 40)
    arc, radius = 80 * PIXEL_ANGLE, 20 * PIXEL_ANGLE
    expected = 2 * arc * math.sin(radius) + 2 * math.pi * (1 - math.cos(radius))
    assert 4 * math.pi * drawing.areas[mask].sum() == pytest.approx(expected, rel=0.02)
    mask[:] = False
    drawing.draw_rectangle(mask, np.random.default_rng(latitude), (64, 64), (128, 64), 0)
    halves = math.sin(128 * PIXEL_ANGLE / 2), math.sin(64 * PIXEL_ANGLE / 2)
    assert 4 * math.pi * drawing.areas[mask].sum() == pytest.approx(4 * math.asin(halves[0] * halves[1]), rel=0.02)


def distance_to_arc(directions, start, end):
    """Return the angle between directions and the nearest of many points on an arc."""
    angle = math.acos(start @ end)
    at = np.linspace(0, 1, 1000)[:, None]
    points = (np.sin((1 - at) * angle) * start + np.sin(at * angle) * end) / math.sin(angle)
    return np.arccos(np.clip((directions @ points.T).max(axis=-1), -1, 1))


def test_segments_are_the_samples_near_them():
    surface, random = Icosphere(3), np.random.default_rng(4)
    drawing = canvas(surface, surface.shape)
    for _ in range(6):
        brush, mask = drawing.place_brush(random), np.zeros(surface.shape, bool)
        width = random.uniform(5, 100)
        end = drawing.draw_segment(mask, brush, random.uniform(-3, 3), random.uniform(10, 200), width)
        distance = distance_to_arc(surface.directions(), brush.position, end.position)
        certain = abs(distance - width * PIXEL_ANGLE / 2) > 1e-3
        assert np.array_equal(mask[certain], (distance < width * PIXEL_ANGLE / 2)[certain])
    flat = PlaneCanvas((40, 64))
    y, x = np.mgrid[:40, :64] + 0.5
    for _ in range(20):
        brush, mask = flat.place_brush(random), np.zeros(40 * 64, bool)
        width = random.uniform(20, 100)
        end = flat.draw_segment(mask, brush, random.uniform(-3, 3), random.uniform(10, 300), width)
        points = brush.position + np.linspace(0, 1, 1000)[:, None] * (end.position - brush.position)
        distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]).min(axis=-1)
        certain = abs(distance - width * flat.scale / 2) > 0.01
        assert np.array_equal(mask.reshape(40, 64)[certain], (distance < width * flat.scale / 2)[certain])


def test_all_surfaces_show_the_same_holes():
    fine = Equirectangular()
    for surface in (Cubemap(16), Healpix(16), Icosphere(4)):
        panorama = draw_hole("thick", np.random.default_rng(7), fine, (128, 256))
        hole = draw_hole("thick", np.random.default_rng(7), surface, surface.shape)
        x, y, z = np.moveaxis(surface.directions(), -1, 0)
        row = np.minimum((np.arccos(np.clip(z, -1, 1)) / math.pi * 128).astype(int), 127)
        column = ((np.arctan2(y, x) / (2 * math.pi) + 0.5) * 256).astype(int) % 256
        assert (panorama[row, column] != hole).mean() < 0.03


def test_images_too_coarse_for_any_shape_get_one_sample():
    hole = np.array([draw_hole("thin", np.random.default_rng(seed), Plane(), (2, 2)).sum() for seed in range(5)])
    assert (hole >= 1).all()
    assert (hole <= 2).all()
