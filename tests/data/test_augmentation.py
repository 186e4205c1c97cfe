from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import picture

from omniconv.data.affine import RANDOM_MAPS, crop, scale, tilt, warp, warp_target
from omniconv.data.augmentation import (
    AUGMENTATIONS,
    augment,
    check_augmentations,
    colour,
    flip,
    parse_augmentations,
    quarter,
    rotate,
    turn,
)
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import InputError
from omniconv.surfaces import Plane, surface


def pair():
    pixels, labels = picture(0)
    labels[:3, 5:9] = IGNORE_INDEX
    return np.moveaxis(pixels, -1, 0).astype(np.float32) / 255, labels


def generator(seed=0):
    return np.random.default_rng(seed)


def test_flipping_twice_restores():
    image, labels = pair()
    always = SimpleNamespace(random=lambda: 0.9)
    flipped = flip(image, labels, always)
    assert np.array_equal(flipped[0], image[..., ::-1])
    assert np.array_equal(flipped[1], labels[..., ::-1])
    back = flip(*flipped, always)
    assert np.array_equal(back[0], image)
    assert np.array_equal(back[1], labels)


def test_flip_happens_every_second_time():
    image, labels = pair()
    flipped = [not np.array_equal(flip(image, labels, generator(seed))[0], image) for seed in range(200)]
    assert 70 < sum(flipped) < 130


def test_quarter_turns_make_a_whole_one():
    image, labels = turned = tuple(part[..., :16] for part in pair())
    seen = set()
    for _ in range(4):
        turned = quarter(*turned, SimpleNamespace(integers=lambda choices: 1))
        seen.add(turned[1].tobytes())
        assert np.array_equal(turned[0][0] == image[0, 0, 0], np.rot90(image[0] == image[0, 0, 0], len(seen)))
    assert np.array_equal(turned[0], image)
    assert np.array_equal(turned[1], labels)
    assert len(seen) == 4


def test_an_image_that_is_not_square_is_turned_by_half():
    image, labels = pair()
    found = {quarter(image, labels, generator(seed))[1].tobytes() for seed in range(20)}
    assert found == {labels.tobytes(), labels[::-1, ::-1].tobytes()}


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_turning_by_all_columns_restores(parts):
    image, labels = turned = pair()
    for _ in range(parts):
        turned = turn(*turned, SimpleNamespace(integers=lambda columns: columns // parts))
    assert np.array_equal(turned[0], image)
    assert np.array_equal(turned[1], labels)


def test_turn_moves_image_and_labels_together():
    image, labels = pair()
    marked = np.concatenate([image, labels[None].astype(np.float32)])
    turned, turned_labels = turn(marked, labels, generator(3))
    assert np.array_equal(turned[-1].astype(np.uint8), turned_labels)
    assert not np.array_equal(turned_labels, labels)


@pytest.mark.parametrize("seed", range(5))
def test_rotate_keeps_labels_among_the_old_ones(seed):
    image, labels = pair()
    turned, turned_labels = rotate(image, labels, generator(seed))
    assert turned.shape == image.shape
    assert turned.dtype == image.dtype
    assert turned_labels.dtype == labels.dtype
    assert set(np.unique(turned_labels)) <= {0, 1, IGNORE_INDEX}
    assert image.min() - 1e-6 <= turned.min() <= turned.max() <= image.max() + 1e-6


def test_rotate_turns_image_and_labels_alike():
    _, labels = pair()
    coarse = np.kron(labels // 255, np.ones((4, 4), np.uint8))
    image = np.repeat(coarse[None].astype(np.float32), 3, axis=0)
    turned, turned_labels = rotate(image, coarse, generator(1))
    assert np.mean((turned[0] > 0.5) == turned_labels) > 0.98


def test_rotate_interpolates_values():
    image, _ = pair()
    values = np.linspace(0, 1, 16, dtype=np.float32)[:, None].repeat(32, axis=1)
    nearest, linear = (rotate(image, values, generator(2), mode)[1] for mode in ("nearest", "linear"))
    assert set(np.unique(nearest)) <= set(np.unique(values))
    assert len(np.unique(linear)) > 16
    assert np.abs(linear - nearest).max() < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_colour_keeps_shape_kind_range_and_labels(dtype):
    image, labels = pair()
    for seed in range(20):
        mixed, same = colour(image.astype(dtype), labels, generator(seed))
        assert same is labels
        assert mixed.shape == image.shape
        assert mixed.dtype == dtype
        assert 0 <= mixed.min() <= mixed.max() <= 1
        assert not np.array_equal(mixed, image)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_images_without_masks(name):
    image, _ = pair()
    changed, labels = AUGMENTATIONS[name](image, None, generator())
    assert labels is None
    assert changed.shape == image.shape


@pytest.mark.parametrize("names", [[], ["flip"], ["turn", "colour"], list(AUGMENTATIONS)])
def test_same_seed_gives_the_same_and_leaves_the_original(names):
    image, labels = pair()
    first, second = (augment(image, labels, names, generator(7)) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert all(part.flags.c_contiguous for part in first)
    assert np.array_equal(image, pair()[0])
    assert np.array_equal(labels, pair()[1])


def test_names_keep_their_order():
    assert parse_augmentations(["colour", "flip"]) == ("colour", "flip")
    assert parse_augmentations(()) == ()


@pytest.mark.parametrize(
    ("name", "cure"), [("flpi", "did you mean flip?"), ("color", "did you mean colour?"), ("xyz", "use augment='none'")]
)
def test_unknown_name(name, cure):
    with pytest.raises(InputError) as caught:
        parse_augmentations(["turn", name])
    assert str(caught.value).startswith(
        f"augment='{name}': must be among flip, quarter, turn, rotate, colour, blur, noise, crop, "
    )
    assert cure in str(caught.value)


def quarter_turn():
    return tilt(SimpleNamespace(uniform=lambda low, high: np.pi / 2), (8, 8))


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_tilting_by_a_quarter_moves_each_pixel_to_a_pixel(interpolation):
    values = np.random.default_rng(0).random((3, 8, 8), np.float32)
    expected = np.rot90(values, 1, (1, 2))
    assert np.allclose(warp(values, quarter_turn()), expected, atol=1e-5)
    assert np.allclose(warp_target(values, quarter_turn(), interpolation, None), expected, atol=1e-5)


@pytest.mark.parametrize("random_map", [crop, scale, tilt])
def test_maps_move_image_and_labels_alike(random_map):
    labels = np.kron(np.random.default_rng(1).integers(0, 2, (4, 6)), np.ones((16, 16))).astype(np.uint8)
    for seed in range(4):
        matrix = random_map(generator(seed), labels.shape)
        image = warp(labels[None].astype(np.float32), matrix)[0]
        warped = warp_target(labels, matrix, "nearest", IGNORE_INDEX)
        known = warped != IGNORE_INDEX
        assert np.mean((image > 0.5)[known] == warped[known]) > 0.98
        continued = warp_target(labels, matrix, "nearest", None)
        assert np.mean((image > 0.5) == continued) > 0.98
        assert np.array_equal(continued[known], warped[known])


def test_a_linear_image_stays_linear():
    rows, columns = np.mgrid[:32, :48].astype(np.float32) / 48
    matrix = crop(generator(2), rows.shape)
    assert np.allclose(np.diff(warp(rows[None], matrix)[0], 2, axis=0)[2:-2], 0, atol=1e-5)
    assert np.ptp(warp(columns[None], matrix)) <= np.ptp(columns)


def test_a_crop_shows_no_pixel_beyond_the_edges_and_a_smaller_image_does():
    labels = np.ones((20, 30), np.uint8)
    for seed in range(10):
        assert (warp_target(labels, crop(generator(seed), labels.shape), "nearest", IGNORE_INDEX) == 1).all()
    half = scale(SimpleNamespace(uniform=lambda low, high: np.log(0.5)), labels.shape)
    assert np.mean(warp_target(labels, half, "nearest", IGNORE_INDEX) == 1) == pytest.approx(1 / 4)


def test_maps_that_follow_each_other_are_one_resampling():
    image = np.random.default_rng(3).random((1, 24, 24), np.float32)
    random = generator(4)
    expected = warp(image, tilt(random, (24, 24)) @ scale(random, (24, 24)))
    assert np.array_equal(augment(image, None, ["tilt", "scale"], generator(4))[0], expected)


def test_noise_and_blur_keep_range_and_labels_and_differ_by_sample():
    image, labels = pair()
    for name in ("noise", "blur", "kornia:RandomSaltAndPepperNoise", "kornia:RandomBoxBlur"):
        changed = [augment(image, labels, [name], generator(seed)) for seed in range(12)]
        assert all(np.array_equal(same, labels) for _, same in changed)
        assert all(0 <= new.min() <= new.max() <= 1 and new.dtype == np.float32 for new, _ in changed)
        assert 2 < sum(not np.array_equal(new, image) for new, _ in changed) < 12
        again = [augment(image, labels, [name], generator(seed)) for seed in range(12)]
        assert all(np.array_equal(new, other) for (new, _), (other, _) in zip(changed, again, strict=True))


@pytest.mark.parametrize("name", ["blur", "kornia:RandomBoxBlur"])
def test_filters_of_panoramas_have_no_seam(name):
    image, _ = pair()
    for seed in range(3):
        rolled = augment(np.roll(image, 16, -1), None, [name], generator(seed), spherical=True)[0]
        expected = np.roll(augment(image, None, [name], generator(seed), spherical=True)[0], 16, -1)
        assert np.allclose(rolled, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["quarter", *RANDOM_MAPS])
def test_maps_of_flat_images_are_refused_on_a_sphere(name):
    check_augmentations([name], Plane())
    with pytest.raises(
        InputError, match=f"augment='{name}': is an augmentation of flat images, and the surface is ico"
    ):
        check_augmentations([name], surface("icosphere:2"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kornia:RandomGama", "is no augmentation of kornia that changes the values of an image and leaves its geometry"
         "; did you mean RandomGamma"),
        ("kornia:RandomRotation", "is no augmentation of kornia that changes the values"),
        ("kornia:RandomMotionBlur", "cannot be made without arguments"),
    ],
)  # fmt: skip
def test_unknown_augmentation_of_kornia(name, message):
    with pytest.raises(InputError, match=message):
        parse_augmentations([name])


def test_kornia_is_not_installed(monkeypatch):
    monkeypatch.setattr("omniconv.checks.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"packages='kornia': is not installed, which augment='kornia:RandomHue' needs"
    ):
        parse_augmentations(["kornia:RandomHue"])
