"""Dense outputs at the size of large images: blocks of rows against the whole, and the memory of a prediction."""

import numpy as np
import pytest
import torch

import omniconv.tasks.segment as segment
from omniconv.data.preprocessing import Preprocessing
from omniconv.surfaces import surface
from omniconv.tasks import get_task, pixels
from omniconv.tasks.metrics import Confusion
from omniconv.tasks.pixels import channels_at_size, rows_at_size

SIZES = [(61, 127), (64, 128), (100, 200), (16, 40), (9, 300), (300, 9)]
SURFACES = ["plane", "plane:border=circular", "equirectangular", "equirectangular:kernels=tangent,height=16",
            "cubemap:8", "healpix:4", "icosphere:2", "icosahedron:2"]  # fmt: skip


def output_on(name):
    on = surface(name)
    grid = on.shape if not on.any_size else (16, 32)
    output = torch.rand(3, *grid, generator=torch.Generator().manual_seed(0))
    return output, Preprocessing(on, (16, 32))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SURFACES)
def test_blocks_of_rows_are_the_whole(monkeypatch, name, size):
    output, preprocessing = output_on(name)
    whole = np.stack(list(channels_at_size(output, size, preprocessing)))
    monkeypatch.setattr(pixels, "BLOCK_PIXELS", 2000)
    blocks = list(rows_at_size(output, size, preprocessing))
    assert [row for rows, _ in blocks for row in range(size[0])[rows]] == list(range(size[0]))
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks], axis=1), whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", SURFACES)
def test_labels_of_a_large_image_are_those_of_the_whole(monkeypatch, name):
    output, preprocessing = output_on(name)
    whole = get_task("segment").predict(output, (100, 200), preprocessing)
    monkeypatch.setattr(pixels, "BLOCK_PIXELS", 2000)
    monkeypatch.setattr(segment, "LARGE_IMAGE", 100)
    blocks = get_task("segment").predict(output, (100, 200), preprocessing)
    assert np.mean(blocks != whole) < 0.001  # a tie may be rounded to either class


def test_a_confusion_matrix_is_counted_in_blocks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    predicted, true = torch.randint(0, 3, (2, 37, 50), generator=generator)
    areas = torch.rand(37, 1, generator=generator)
    whole = Confusion(3)
    whole.update(predicted, true, areas)
    monkeypatch.setattr("omniconv.tasks.metrics.BLOCK", 300)
    blocks = Confusion(3)
    blocks.update(predicted, true, areas)
    torch.testing.assert_close(blocks.counts, whole.counts)
    assert float(blocks.counts.sum()) == pytest.approx(50 * float(areas.sum()), rel=1e-6)
