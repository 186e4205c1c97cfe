"""Construction arguments recorded by the base class, and the registry of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import omniconv as oc
from omniconv.errors import InputError
from omniconv.models import MODELS, Model, UNet, build, get_model, models_for, register_model
from omniconv.models.roles import ROLES, SupportsInpaint, as_role, missing_methods
from omniconv.surfaces import Icosphere, Plane


class Tiny(Model):
    output = "dense"
    total_stride = 1

    def __init__(self, in_channels, out_channels, surface, rates=(1, 2), *, bias=False):
        super().__init__(surface)
        self.conv = oc.nn.Conv(in_channels, out_channels, bias=bias, surface=surface)

    def forward(self, x):
        return self.conv(x)


class Named(Tiny):
    def __init__(self, surface, name="a"):
        super().__init__(3, 2, surface)


class Silent(Named):
    """A class without a constructor of its own has that of its base class."""


@pytest.fixture
def registry():
    yield
    MODELS.pop("tiny", None)


def test_all_arguments_are_recorded_with_their_defaults():
    model = UNet(3, np.int64(2), Icosphere(3), depth=2)
    assert model.arguments == {
        "in_channels": 3, "out_channels": 2, "width": None, "depth": 2, "down": None, "up": "linear",
        "head_kernel": 1, "sigmoid": False, "normalization": "batch", "activation": "relu", "encoder": "plain",
        "output_stride": None, "stem_stride": 1, "residual": False, "surface": "icosphere:3,laplacian=mass",
    }  # fmt: skip
    assert type(model.arguments["out_channels"]) is int
    assert list(model.arguments)[-1] == "surface"  # as in files of omniconv 0.1


def test_lists_and_tuples_are_recorded_alike():
    assert Tiny(3, 2, Plane(), [4, 8]).arguments == Tiny(3, 2, Plane(), (4, 8)).arguments


def test_keyword_only_arguments_are_recorded():
    expected = {"in_channels": 3, "out_channels": 2, "rates": (1, 2), "bias": True, "surface": str(Plane())}
    assert Tiny(3, 2, Plane(), bias=True).arguments == expected


@pytest.mark.parametrize("kind", [Named, Silent])
def test_arguments_of_a_derived_model_are_those_of_its_own_constructor(kind):
    assert kind(Plane(), name="b").arguments == {"name": "b", "surface": str(Plane())}


def test_constructors_of_unnamed_arguments_are_refused():
    with pytest.raises(TypeError, match=r"Loose.__init__ must name its arguments"):

        class Loose(Model):
            def __init__(self, surface, **options):
                super().__init__(surface)


def test_total_stride_must_be_defined():
    class Unknown(Model):
        def __init__(self, surface):
            super().__init__(surface)

    with pytest.raises(NotImplementedError, match="Unknown must define total_stride"):
        Unknown(Plane()).total_stride  # noqa: B018


def test_every_model_has_an_output():
    assert models_for("image") == ()
    assert models_for("global") == ("classifier", "resnet")
    assert models_for("dense") == ("deeplab", "fpn", "linknet", "segnet", "unet")


@pytest.mark.usefixtures("registry")
def test_registered_model_is_built_saved_and_loaded(tmp_path):
    register_model("tiny", Tiny)
    assert "tiny" in models_for("dense")
    model = build("tiny", {"in_channels": 3, "out_channels": 2, "rates": [5], "surface": "icosphere:1"})
    oc.save(model, tmp_path / "model.safetensors")
    again = oc.load(tmp_path / "model.safetensors")
    assert type(again) is Tiny
    assert again.arguments == model.arguments
    assert torch.equal(again.conv.weight, model.conv.weight)


@pytest.mark.usefixtures("registry")
def test_name_of_another_model_cannot_be_registered():
    with pytest.raises(InputError, match="name='unet': is the name of another model; choose another name"):
        register_model("unet", Tiny)


@pytest.mark.parametrize("model", [torch.nn.Conv2d, Model, "module:Class"])
def test_only_models_with_an_output_are_registered(model):
    with pytest.raises(InputError, match=r"must be a subclass of oc\.models\.Model with an output of dense, global, "):
        register_model("other", model)
    assert "other" not in MODELS


@pytest.mark.parametrize("name", MODELS)
def test_models_have_the_methods_of_their_output(name):
    for role in ROLES.get(get_model(name).output, ()):
        assert issubclass(get_model(name), role)
        assert missing_methods(get_model(name), (role,)) == ()


@pytest.mark.parametrize(
    ("output", "missing"),
    [
        ("denoiser", "sample, inpaint"),
        ("autoencoder", "sample, latent_shape, encode, decode, reconstruct"),
        ("inpainter", "inpaint, predictions"),
    ],
)
def test_models_without_the_methods_of_their_output_are_not_registered(output, missing):
    model = type("Other", (Tiny,), {"output": output})
    with pytest.raises(InputError, match=rf"model='Other': has the output {output}, but no method {missing}; define"):
        register_model("other", model)
    assert "other" not in MODELS


def test_a_network_without_the_methods_of_a_role_is_refused():
    network = Tiny(3, 2, Plane())
    with pytest.raises(InputError, match="model='Tiny': has no method inpaint; use a model whose output"):
        as_role(network, SupportsInpaint)


def test_unknown_model_names_the_nearest():
    with pytest.raises(InputError, match=rf"model='unett': must be one of {', '.join(MODELS)}; did you mean unet\?"):
        get_model("unett")


def test_unregistered_model_cannot_be_saved(tmp_path):
    with pytest.raises(InputError, match=rf"model='Tiny': must be one of {', '.join(MODELS)}; add it by oc\.models"):
        oc.save(Tiny(3, 2, Plane()), tmp_path / "a")
    with pytest.raises(InputError, match="model='Linear': must be one of"):
        oc.save(nn.Linear(1, 1), tmp_path / "a")
