"""Panels never overlap, and a narrow layout fits a phone or states its smallest readable width."""

from __future__ import annotations

from itertools import combinations

import pytest
from explain_scenes import SCENES

from omniconv.explain.layout import extent, moved, narrow_layout, wide_layout

PHONE = 368  # pixels of a 400-pixel page between its margins


@pytest.fixture(scope="module", params=list(SCENES))
def scene(request):
    return SCENES[request.param]()


@pytest.mark.parametrize("make_layout", [wide_layout, narrow_layout])
def test_panels_lie_side_by_side_within_the_drawing(scene, make_layout):
    layout = make_layout(scene)
    boxes = [
        moved(extent(panel, layout.cell), origin) for panel, origin in zip(layout.panels, layout.origins, strict=True)
    ]
    for one, other in combinations(boxes, 2):
        assert one[2] < other[0] or one[3] < other[1]
    for left, top, right, bottom in boxes:
        assert min(left, top) >= 0
        assert right <= layout.size[0] + 1e-9
        assert bottom <= layout.size[1] + 1e-9


def test_a_phone_shows_all_but_long_rows_without_scrolling(scene):
    layout = narrow_layout(scene)
    across = max(len(panel.cells[0]) for panel in scene.panels)
    if across <= 14:
        assert layout.min_width <= PHONE + 8
    assert layout.cell * min(1, max(PHONE, layout.min_width) / layout.size[0]) >= 16
