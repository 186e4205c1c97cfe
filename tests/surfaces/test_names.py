from __future__ import annotations

import re

import pytest

from omniconv.errors import InputError
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane, surface

KNOWN = "plane, equirectangular, icosphere, icosahedron, healpix, cubemap"
SURFACES = [
    *(Plane(ndim, border) for ndim in (1, 2, 3) for border in ("zeros", "reflect", "replicate", "circular")),
    *(Equirectangular(poles) for poles in ("over", "zeros", "replicate", "reflect")),
    *(Icosphere(level, laplacian) for level in (0, 5, 9) for laplacian in ("mass", "raw")),
    *(Icosahedron(3), Healpix(8), Cubemap(12), Equirectangular(height=8, kernels="tangent")),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("plane", Plane()),
        ("plane:3", Plane(3)),
        ("plane:ndim=1,border=circular", Plane(1, "circular")),
        ("equirectangular", Equirectangular()),
        ("equirectangular:zeros", Equirectangular("zeros")),
        ("icosphere:4,laplacian=raw", Icosphere(4, "raw")),
        ("healpix:nside=4", Healpix(4)),
        ("icosphere:laplacian=raw,level=4", Icosphere(4, "raw")),
    ],
)
def test_short_names(name, found):
    assert surface(name) == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("icosfere:5", f"must be one of {KNOWN}; did you mean icosphere?"),
        ("", f"must be one of {KNOWN}; did you mean equirectangular?"),
        ("icosphere", "surface='icosphere': needs a level; write icosphere:5 for level 5"),
        ("icosphere:", "needs a level; write icosphere:5 for level 5"),
        ("healpix", "surface='healpix': needs a nside; write healpix:32 for nside 32"),
        ("cubemap:", "needs a size; write cubemap:64 for size 64"),
        ("cubemap:0", "size=0: must be a whole number from 1"),
        ("icosphere:laplacian=raw", "needs a level; write icosphere:5 for level 5"),
        ("icosphere:5,depth=3", "has no option 'depth'; its options are level, laplacian"),
        ("icosphere:five", "level='five': must be a whole number from 0 to 9"),
        ("icosphere:--5", "level='--5': must be a whole number from 0 to 9"),
        ("icosphere:²", "level='²': must be a whole number from 0 to 9"),
        ("icosphere:-1", "level=-1: must be a whole number from 0 to 9"),
        ("icosphere:10", "level=10: must be a whole number from 0 to 9"),
        ("plane:4", "ndim=4: must be 1, 2 or 3"),
        ("plane:border=wrap", "padding_mode='wrap': must be one of"),
    ],
)
def test_name_that_means_nothing_is_refused(name, text):
    with pytest.raises(InputError, match=re.escape(text)):
        surface(name)
