"""A surface of another program: one class, registered, runs in every layer, model and command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import sparse
from surface_contract import SurfaceContract
from tiny import words

import omniconv as oc
from omniconv.checks import is_integer
from omniconv.cli import main
from omniconv.errors import InputError
from omniconv.surfaces import SURFACES, Stencil, Surface, panorama, register_surface
from omniconv.surfaces.neighbours.border import border_index


@dataclass(frozen=True)
class CrossSurface(Surface):
    """The pixels of a panorama as a mesh; a convolution sees a pixel and the next one in each of four directions."""

    height: int
    short_name: ClassVar[str] = "cross"
    example: ClassVar[Mapping[str, int]] = {"height": 8}

    def __post_init__(self):
        if not is_integer(self.height):
            raise InputError("height", self.height, "must be a whole number from 1", "use height=8")

    @property
    def size(self):
        return self.height, 2 * self.height

    @property
    def shape(self):
        return (2 * self.height**2,)

    def directions(self, shape=None):
        return panorama.pixel_directions(*self.size).reshape(-1, 3)

    def areas(self, shape=None):
        return panorama.pixel_areas(*self.size).ravel()

    def interpolation_matrix(self, directions, shape=None):
        return panorama.bilinear_matrix(directions, *self.size)

    def nearest_sample(self, directions, shape=None):
        return panorama.nearest_pixels(directions, *self.size)

    def coarser(self):
        if self.height % 2:
            raise InputError("height", self.height, "must be even to be halved", "use height=8")
        return CrossSurface(self.height // 2)

    def finer(self):
        return CrossSurface(2 * self.height)

    def conv_neighbours(self, kernel_size=3, stride=1, dilation=1):
        if kernel_size not in (1, 3) or stride not in (1, 2) or dilation != 1:
            raise InputError("kernel_size", kernel_size, "must be 1 or 3, with stride 1 or 2", "use kernel_size=3")
        offsets = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)] if kernel_size == 3 else [(0, 0)]
        rows, columns = (start.ravel() for start in np.mgrid[: self.height : stride, : 2 * self.height : stride])
        if stride == 2:
            self.coarser()
        taps = []
        for down, right in offsets:
            row, is_rolled, _ = border_index(rows + down, self.height, "pole")
            column = (columns + right + np.where(is_rolled, self.height, 0)) % (2 * self.height)
            taps.append(row * 2 * self.height + column)
        return Stencil.from_table(np.stack(taps, axis=1), self.shape[0])

    def pool_neighbours(self, kernel_size=2, stride=2):
        if (kernel_size, stride) != (2, 2):
            raise InputError("kernel_size", kernel_size, "must be 2, with stride 2", "use kernel_size=2, stride=2")
        coarser = self.coarser()
        parent = coarser.nearest_sample(self.directions())
        weights = self.areas() / coarser.areas()[parent]
        entries = (weights, (parent, np.arange(len(parent))))
        return Stencil.of([sparse.coo_array(entries, shape=(*coarser.shape, *self.shape))])

    def resize_neighbours(self, scale_factor=2, mode="linear"):
        if scale_factor != 2:
            raise InputError("scale_factor", scale_factor, "must be 2", "chain steps of 2")
        directions = self.finer().directions()
        if mode == "nearest":
            return Stencil.from_table(self.nearest_sample(directions)[:, None], self.shape[0])
        return Stencil.of([self.interpolation_matrix(directions)])

    def panorama_height(self):
        return self.height


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The surface is known by its name during a test."""
    monkeypatch.setattr("omniconv.surfaces.registry.SURFACES", dict(SURFACES))
    register_surface(CrossSurface)


class TestCrossSurface(SurfaceContract):
    surfaces = (CrossSurface(1), CrossSurface(6), CrossSurface(8))


LAYERS = {
    "conv": lambda surface: oc.nn.Conv(3, 4, surface=surface),
    "strided": lambda surface: oc.nn.Conv(3, 4, stride=2, surface=surface),
    "transposed": lambda surface: oc.nn.ConvTranspose(3, 4, stride=2, surface=surface),
    "gated": lambda surface: oc.nn.GatedConv(3, 4, surface=surface),
    "coordinates": lambda surface: oc.nn.CoordConv(3, 4, surface=surface),
    "max": lambda surface: oc.nn.MaxPool(surface=surface),
    "mean": lambda surface: oc.nn.AvgPool(surface=surface),
    "power": lambda surface: oc.nn.LpPool(surface=surface),
    "global": lambda surface: oc.nn.GlobalAvgPool(surface=surface),
    "up": lambda surface: oc.nn.Upsample(surface=surface),
    "nearest": lambda surface: oc.nn.Upsample(mode="nearest", surface=surface),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_layers_run_forward_and_backward(build):
    x = torch.randn(2, 3, 128, requires_grad=True)
    y = build(CrossSurface(8))(x)
    y.square().sum().backward()
    assert y.shape[0] == 2
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_models_are_saved_and_loaded(tmp_path):
    x = torch.randn(2, 3, 128)
    for model in (oc.models.UNet(3, 2, CrossSurface(8), width=4, depth=2), oc.models.Classifier(3, 2, CrossSurface(8))):
        model.eval()
        oc.save(model, tmp_path / "model.safetensors")
        loaded = oc.load(tmp_path / "model.safetensors").eval()
        assert loaded.surface == CrossSurface(8)
        torch.testing.assert_close(loaded(x), model(x))
    with pytest.raises(InputError, match="depth=4: must be at most 3"):
        oc.models.UNet(3, 2, CrossSurface(8), depth=4)


def test_commands_take_it(segment_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = str(segment_data / "images" / "0.png")
    for arguments in (
        ["train", "segment", str(segment_data), *words(surface="cross:8", name="toy")],
        ["evaluate", "runs/toy", str(segment_data)],
        ["predict", "runs/toy", image, "--out", "predictions"],
        ["report", "runs/toy"],
        ["export", "runs/toy", "--format", "torch", "--out", "toy.pt2"],
    ):
        assert main(arguments) == 0, arguments
    assert (tmp_path / "toy.pt2").stat().st_size > 0
    assert (tmp_path / "runs" / "toy" / "report.html").exists()
    assert list((tmp_path / "predictions").rglob("*.png"))
