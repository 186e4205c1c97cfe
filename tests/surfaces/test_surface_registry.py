from __future__ import annotations

import re

import pytest

from omniconv.errors import InputError
from omniconv.surfaces import SURFACES, Equirectangular, Healpix, Icosphere, Plane, Surface, register_surface, surface

KNOWN = ", ".join(SURFACES)


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
        ("equirectangular:kernels=tangent,height=64", Equirectangular(height=64, kernels="tangent")),
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
        ("cubemap:0", "surface='cubemap:0': size 0 must be a whole number from 1 to 4096; write cubemap:64"),
        ("icosphere:laplacian=raw", "needs a level; write icosphere:5 for level 5"),
        ("icosphere:5,depth=3", "has no option 'depth'; its options are level, laplacian"),
        ("icosphere:five", "level five must be a whole number from 0 to 9"),
        ("icosphere:--5", "level --5 must be a whole number from 0 to 9"),
        ("icosphere:²", "level ² must be a whole number from 0 to 9"),
        ("icosphere:-1", "level -1 must be a whole number from 0 to 9"),
        ("icosphere:10", "level 10 must be a whole number from 0 to 9; write icosphere:5"),
        ("plane:4", "ndim 4 must be 1, 2 or 3; write plane:ndim=2"),
        ("plane:border=wrap", "replicate, circular; write plane:border=zeros"),
        ("plane:border=circulr", "replicate, circular; write plane:border=circular"),
        ("equirectangular:kernels=rows", "with kernels=rows; write equirectangular:kernels=rows,height=64"),
        ("equirectangular:height=64", "height 64 must be left out with kernels=grid, which has any size; write"),
        ("icosphere:5,raw", "has 'raw' without a name; write laplacian=raw"),
        ("icosphere:5,level=6", "has the option level twice; keep one"),
    ],
)
def test_unknown_names_and_options_are_rejected(name, text):
    with pytest.raises(InputError, match=re.escape(text)):
        surface(name)


def subclass(base, **members):
    return type("Other", (base,), members)


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (subclass(Plane), f"short_name='plane': must be an identifier that is not one of {KNOWN}"),
        (subclass(Plane, short_name=""), "short_name='': must be an identifier"),
        (subclass(Plane, short_name="a:b"), "set Other.short_name"),
        (subclass(Icosphere, short_name="other", example={}), "example={}: needs a value for the required argument"),
        (subclass(Plane, short_name="other", __hash__=None), "be hashable and equal surface(str(…))"),
        (type("Abstract", (Surface,), {"short_name": "other"}), "surface='Abstract': must define all abstract members"),
        (subclass(Plane, short_name="other", __str__=lambda self: "other:9"), "use @dataclass(frozen=True) and the"),
    ],
)
def test_surfaces_that_break_the_contract_are_not_registered(cls, text):
    before = dict(SURFACES)
    with pytest.raises(InputError, match=re.escape(text)):
        register_surface(cls)
    assert before == SURFACES


def test_registering_twice_changes_nothing():
    assert register_surface(Plane) is Plane
    assert SURFACES["plane"] is Plane
