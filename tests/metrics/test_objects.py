"""Counts of objects against a search of each object pixel by pixel, and their laws."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.metrics import objects
from omniconv.metrics.objects import Wrapping, count_objects, label_objects, match_objects
from omniconv.surfaces.panorama import pixel_areas

WRAPPINGS = [Wrapping(*flags) for flags in product([False, True], repeat=3)]


def slow_objects(mask, wrapping):
    """The sets of pixels of each object, found by a search over neighbours."""
    height, width = mask.shape

    def neighbours(row, column):
        for i, j in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
            if 0 <= i < height and (wrapping.columns or 0 <= j < width):
                yield i, j % width
        if (row == 0 and wrapping.top) or (row == height - 1 and wrapping.bottom):
            yield from ((row, j) for j in range(width))

    rest, found = set(zip(*map(list, mask.nonzero()), strict=True)), []
    while rest:
        pixels, border = set(), [rest.pop()]
        while border:
            pixel = border.pop()
            pixels.add(pixel)
            border += rest & set(neighbours(*pixel))
            rest -= set(border)
        found.append(frozenset(pixels))
    return set(found)


def slow_matches(true, predicted, wrapping, weights):
    """The largest number of pairs of IoU >= 0.5, by trying them all; few objects have a choice."""

    def area(pixels):
        return sum(weights[row] for row, _ in pixels)

    pairs = [
        (first, second)
        for first, second in product(slow_objects(true, wrapping), slow_objects(predicted, wrapping))
        if first & second and area(first & second) >= 0.5 * area(first | second)
    ]

    def most(pairs):
        if not pairs:
            return 0
        (first, second), rest = pairs[0], pairs[1:]
        return max(most(rest), 1 + most([pair for pair in rest if pair[0] != first and pair[1] != second]))

    return most(pairs)


def noise(seed, shape=(7, 12), share=0.4):
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_components_are_those_of_a_search(wrapping):
    for seed, share in product(range(6), (0.2, 0.35, 0.5)):
        mask = noise(seed, share=share)
        labels, count = label_objects(mask, wrapping)
        found = {
            frozenset(zip(*map(list, (labels == number).nonzero()), strict=True)) for number in range(1, count + 1)
        }
        assert found == slow_objects(mask, wrapping)
        assert labels.dtype == np.int32
        assert not labels[~mask].any()


@pytest.mark.parametrize("wrapping", [Wrapping(), Wrapping(True, True, True), Wrapping(columns=True)])
@pytest.mark.parametrize("block", [1, 2**22])
def test_matches_are_those_of_all_pairs(wrapping, block, monkeypatch):
    monkeypatch.setattr(objects, "BLOCK", block)
    weights = pixel_areas(7, 12)[:, 0] if wrapping.top else np.ones(7)
    matched = 0
    for seed in range(8):
        true = noise(seed, share=0.3).astype(int)
        predicted = np.where(noise(seed + 100, share=0.15), 1 - true, true)
        found = match_objects(true, predicted, 2, wrapping, areas=weights)
        for index in (0, 1):
            assert found.true[index] == len(slow_objects(true == index, wrapping))
            assert found.predicted[index] == len(slow_objects(predicted == index, wrapping))
            assert found.matched[index] == slow_matches(true == index, predicted == index, wrapping, weights)
        assert np.array_equal(count_objects(predicted, 2, wrapping), found.predicted)
        matched += found.matched.sum()
    assert matched > 10


def test_two_partners_of_half_the_size_are_one_match():
    true, predicted = np.array([[1, 1, 1, 1, 1, 1]]), np.array([[2, 1, 1, 1, 0, 1]])
    assert [part.tolist() for part in match_objects(true, predicted, 2)] == [[0, 1], [1, 2], [0, 1]]


@pytest.mark.parametrize("shift", [1, 5, 11])
def test_counts_do_not_change_when_a_panorama_is_rolled_or_flipped(shift):
    true, predicted = (np.random.default_rng(seed).integers(0, 3, (9, 16)) for seed in (1, 2))
    predicted[:, :10] = true[:, :10]
    for min_size in (0, 1.5):
        first = match_objects(true, predicted, 3, panorama=True, min_size=min_size)
        for change in (lambda x: np.roll(x, shift, axis=1), np.flipud, np.fliplr):
            again = match_objects(change(true), change(predicted), 3, panorama=True, min_size=min_size)
            assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert first.matched.sum() > 3


def test_all_pixels_at_a_pole_meet():
    mask = np.zeros((4, 12), int)
    mask[0, [0, 4, 8]] = mask[3, [2, 7]] = 1
    assert count_objects(mask, 2).tolist() == [1, 5]
    assert count_objects(mask, 2, panorama=True)[1] == 2
    assert count_objects(mask, 2, Wrapping(columns=True, top=True))[1] == 3


def test_small_objects_do_not_count_by_their_area_on_the_sphere():
    labels = np.zeros((16, 32), int)
    labels[1, 4:8] = 1  # four pixels near the pole: less than two of the equator
    labels[8, 4:8] = 1
    assert count_objects(labels, 2, min_size=4).tolist() == [1, 2]
    assert count_objects(labels, 2, panorama=True, min_size=3.9).tolist() == [1, 1]
    assert count_objects(labels, 2, panorama=True, min_size=1.1).tolist() == [1, 2]


def test_ignored_pixels_count_in_neither():
    true, predicted = np.array([[1, 255, 255, 0, 0]]), np.array([[1, 1, 1, 0, 1]])
    assert [part.tolist() for part in match_objects(true, predicted, 2)] == [[1, 1], [1, 2], [1, 1]]


def test_an_empty_class_has_no_objects():
    nothing = np.full((3, 4), 255)
    assert [part.tolist() for part in match_objects(nothing, np.zeros((3, 4), int), 2)] == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((np.zeros((2, 3, 4)), 2), "labels=(2, 3, 4): must have two axes, rows and columns; give one image at a time"),
        ((np.zeros((2, 3)), 0), "classes=0: must be a whole number from 1"),
        ((np.zeros((2, 3)), 2, False, -1), "min_size=-1: must be a number of 0 or more; use 0 to count all"),
        ((np.zeros((2, 3)), 2, False, 0, np.ones(3)), "areas=(3,): must have one value for each of 2 rows; give (H,)"),
    ],
)
def test_bad_input(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        count_objects(*arguments)


def test_label_maps_of_two_shapes():
    with pytest.raises(InputError, match=r"predicted=\(2, 4\): must have the shape of true, \(2, 3\); resize it"):
        match_objects(np.zeros((2, 3)), np.zeros((2, 4)), 2)
    with pytest.raises(InputError, match=r"iou=0: must be a number above 0 to 1; use 0\.5"):
        match_objects(np.zeros((2, 3)), np.zeros((2, 3)), 2, iou=0)
    with pytest.raises(InputError, match=r"mask=\(3,\): must have two axes"):
        label_objects(np.zeros(3))
