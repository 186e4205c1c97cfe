from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_battery import QUICK_SURFACES, SHAPES, ModelBattery, every_surface, gradients

from omniconv.errors import InputError
from omniconv.models import UNet, load, save
from omniconv.surfaces import Equirectangular, Icosphere, Plane

DOWN, UP = ("stride", "max", "average"), ("linear", "transposed")
DOWN_UP = list(product(DOWN, UP))
POLES = ("over", "zeros", "replicate", "reflect")


class TestUNet(ModelBattery):
    @staticmethod
    def build(surface):
        return UNet(3, 2, surface, width=4, depth=2)


class TestOriginalUNet(ModelBattery):
    quick_surfaces = QUICK_SURFACES

    @staticmethod
    def build(surface):
        options = {"down": "max", "up": "transposed", "normalization": "none", "head_kernel": 3}
        return UNet(3, 2, surface, width=4, depth=2, **options)


class TestStridedUNet(ModelBattery):
    quick_surfaces = QUICK_SURFACES

    @staticmethod
    def build(surface):
        return UNet(3, 2, surface, width=4, depth=2, stem_stride=2, residual=True)


def test_a_strided_stem_is_the_first_of_the_steps():
    model = UNet(3, 2, width=8, depth=3, stem_stride=2)
    assert model.encoder.strides == [2, 4, 8]
    assert model.encoder.channels == [8, 16, 32]
    assert model.total_stride == 8
    assert UNet(3, 2, width=8, depth=3).encoder.strides == [1, 2, 4, 8]


@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("residual", [True, False])
def test_strided_network_commutes_with_rolls_by_its_total_stride(down, residual):
    torch.manual_seed(0)
    options = {"down": down, "stem_stride": 2, "residual": residual}
    model = UNet(2, 3, Equirectangular(), width=4, depth=2, **options).double().eval()
    x = torch.randn(2, 2, 11, 16, dtype=torch.float64)
    for shift in (4, -4):
        torch.testing.assert_close(model(x.roll(shift, -1)), model(x).roll(shift, -1), rtol=0, atol=1e-9)
    assert not torch.allclose(model(x.roll(1, -1)), model(x).roll(1, -1))


def test_original_has_its_number_of_parameters():
    with torch.device("meta"):
        model = UNet(1, 2, width=64, depth=4, down="max", up="transposed", normalization="none")
    assert sum(parameter.numel() for parameter in model.parameters()) == 31_030_658


@pytest.mark.parametrize("normalization", ["group", "weight"])
@every_surface
def test_norms_without_statistics_of_the_batch(surface, normalization, tmp_path):
    model = UNet(3, 2, surface, width=8, depth=1, normalization=normalization, activation="silu")
    x = torch.randn(2, 3, *SHAPES[surface])
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model, (x,)).values())
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    save(model, tmp_path / "model.safetensors")
    with torch.no_grad():
        y = model.eval()(x)
        assert torch.equal(load(tmp_path / "model.safetensors")(x), y)
        torch.testing.assert_close(model(x[:1]), y[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("down", "up"), DOWN_UP)
@pytest.mark.parametrize("poles", POLES)
@pytest.mark.parametrize("training", [True, False])
def test_network_commutes_with_rolls_by_its_total_stride(poles, down, up, training):
    torch.manual_seed(0)
    model = UNet(2, 3, Equirectangular(poles), width=4, depth=2, down=down, up=up).double().train(training)
    x = torch.randn(2, 2, 11, 16, dtype=torch.float64)
    y = model(x)
    for shift in (4, 8, -4):
        torch.testing.assert_close(model(x.roll(shift, -1)), y.roll(shift, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("down", "up"), DOWN_UP)
def test_coarsest_signal_may_be_one_sample_wide(down, up):
    model = UNet(1, 1, Equirectangular(), width=2, depth=3, down=down, up=up).double().eval()
    x = torch.randn(1, 1, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(model(x.roll(8, -1)), model(x), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(
    height=st.integers(5, 40), width=st.integers(5, 40), down_up=st.sampled_from(DOWN_UP),
    surface=st.sampled_from([Plane(), Plane(border="circular"), Equirectangular(), Equirectangular("replicate")]),
)  # fmt: skip
def test_any_size_is_accepted_and_kept(height, width, down_up, surface):
    down, up = down_up
    model = UNet(1, 2, surface, width=2, depth=3, down=down, up=up).eval()
    assert model(torch.zeros(1, 1, height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize(("down", "up"), DOWN_UP)
def test_mesh_may_be_coarsened_to_its_coarsest_level(level, down, up):
    model = UNet(1, 2, Icosphere(level), width=2, depth=level, down=down, up=up)
    assert model(torch.randn(2, 1, *Icosphere(level).shape)).shape == (2, 2, *Icosphere(level).shape)


@pytest.mark.parametrize(("down", "up"), DOWN_UP)
def test_constant_image_gives_a_constant_without_borders(down, up):
    model = UNet(1, 2, Equirectangular(), width=4, depth=2, down=down, up=up).double().eval()
    y = model(torch.full((1, 1, 16, 32), 0.3, dtype=torch.float64))
    if up == "linear":  # a learned step up writes a pattern of its own
        torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"up": "bilinear"}, "up='bilinear': must be one of linear, transposed"),
        ({"down": "pool"}, "down='pool': must be one of stride, max, average"),
        ({"depth": 2.0}, "depth=2.0: must be a whole number from 1"),
        ({"width": -1}, "width=-1: must be a whole number from 1"),
        ({"stem_stride": 4}, "stem_stride=4: must be 1 or 2; use stem_stride=2"),
        ({"stem_stride": True}, "stem_stride=True: must be 1 or 2"),
        ({"residual": "yes"}, "residual='yes': must be True or False"),
        (
            {"encoder": "resnet18", "residual": True},
            "residual=True: is not an argument of the encoder resnet18; leave it out",
        ),
        ({"out_channels": 0}, "out_channels=0: must be a whole number from 1"),
        (
            {"depth": 4, "surface": Icosphere(3)},
            "depth=4: must be at most 3, the number of coarser levels of icosphere",
        ),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=text):
        UNet(**{"in_channels": 3, "out_channels": 2, **arguments})
