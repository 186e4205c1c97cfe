"""Every surface of the package passes the contract of surfaces."""

from __future__ import annotations

from surface_contract import SurfaceContract

from omniconv.surfaces import SURFACES, Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

BORDERS = ("zeros", "reflect", "replicate", "circular")


class TestPlane(SurfaceContract):
    surfaces = (*(Plane(ndim, border) for ndim in (1, 2, 3) for border in BORDERS), Plane(2, ("zeros", "circular")))


class TestEquirectangular(SurfaceContract):
    surfaces = tuple(Equirectangular(poles) for poles in ("over", "zeros", "replicate", "reflect"))


class TestTangentKernels(SurfaceContract):
    surfaces = tuple(Equirectangular(height=height, kernels="tangent") for height in (1, 6, 16))


class TestRowKernels(SurfaceContract):
    surfaces = tuple(Equirectangular(height=height, kernels="rows") for height in (1, 6, 16))


class TestIcosphere(SurfaceContract):
    surfaces = tuple(Icosphere(level, laplacian) for level in (0, 2) for laplacian in ("mass", "raw"))


class TestIcosahedron(SurfaceContract):
    surfaces = (Icosahedron(0), Icosahedron(2))


class TestHealpix(SurfaceContract):
    surfaces = (Healpix(1), Healpix(4))


class TestCubemap(SurfaceContract):
    surfaces = (Cubemap(1), Cubemap(6), Cubemap(8))


def test_every_surface_is_tested():
    batteries = [case for case in globals().values() if isinstance(case, type) and issubclass(case, SurfaceContract)]
    assert {type(known) for case in batteries for known in case.surfaces} == set(SURFACES.values())
