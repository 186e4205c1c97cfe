from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import picture

from omniconv.data.augmentation import AUGMENTATIONS, augment, colour, flip, parse_augmentations, rotate, turn
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import InputError


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
    assert str(caught.value).startswith(f"augment='{name}': must be among flip, turn, rotate, colour; ")
    assert cure in str(caught.value)
