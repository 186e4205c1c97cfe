"""State dicts of torchvision and timm in ``oc.models.ResNet``, and networks of timm as encoders; random weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from published import smp, timm, torchvision
from roll_equivariance import noise_image, randomized, roll_error
from torch import nn

import omniconv as oc
from omniconv.errors import InputError
from omniconv.models import ResNet, load_weights, make_encoder
from omniconv.models.weights.sources import TORCHVISION_FILES, TORCHVISION_URL

pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore", "error::omniconv.convert.SeamWarning")]


@pytest.mark.parametrize("layers", [18, 34, 50, 101])
@pytest.mark.parametrize("publisher", [torchvision, timm])
def test_state_dict_is_loaded_strictly_and_outputs_are_equal(layers, publisher):
    flat = randomized(publisher(f"resnet{layers}"))
    network = ResNet(3, 1000, layers=layers).double().eval()
    network.load_state_dict(flat.state_dict(), strict=True)
    x = noise_image(height=64, width=96, batch=1)
    with torch.no_grad():
        torch.testing.assert_close(network(x), flat(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("layers", "output_stride"), [(50, 8), (50, 16), (101, 8)])
def test_dilation_is_that_of_torchvision(layers, output_stride):
    replaced = [False, output_stride == 8, True]
    flat = randomized(torchvision(f"resnet{layers}", replace_stride_with_dilation=replaced))
    network = ResNet(3, 1000, layers=layers, output_stride=output_stride).double().eval()
    network.load_state_dict(flat.state_dict(), strict=True)
    x = noise_image(height=64, width=96, batch=1)
    with torch.no_grad():
        torch.testing.assert_close(network(x), flat(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_of_basic_blocks_is_that_of_timm(output_stride):
    import timm as package

    flat = randomized(package.create_model("resnet18", pretrained=False, output_stride=output_stride))
    network = ResNet(3, 1000, output_stride=output_stride).double().eval()
    network.load_state_dict(flat.state_dict(), strict=True)
    x = noise_image(height=64, width=96, batch=1)
    with torch.no_grad():
        torch.testing.assert_close(network(x), flat(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_first_convolution_is_adapted_as_by_timm(channels):
    from timm.models import adapt_input_conv

    state = torchvision("resnet18").state_dict()
    network = ResNet(channels, 1000)
    load_weights(network, state)
    torch.testing.assert_close(network.conv1.weight, nn.Parameter(adapt_input_conv(channels, state["conv1.weight"])))


@pytest.mark.parametrize("name", TORCHVISION_FILES)
def test_urls_are_those_of_torchvision(name):
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).IMAGENET1K_V1
    assert weights.url == TORCHVISION_URL + TORCHVISION_FILES[name]
    recipe = weights.transforms()
    assert {"mean": recipe.mean, "std": recipe.std} == oc.models.weights.sources.IMAGENET


def test_without_a_network_timm_says_so_in_one_line(monkeypatch):
    def offline(*args, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr("timm.create_model", offline)
    text = r"weights='timm': could not be downloaded for resnet18 \(Name or service not known\); run timm.create_model"
    with pytest.raises(InputError, match=text):
        load_weights(ResNet(3, 2), "timm")


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0", "convnext_atto", "mobilenetv3_small_100"])
def test_networks_of_timm_are_encoders_on_panoramas(name):
    encoder = make_encoder(f"timm:{name}", 3, oc.Equirectangular())
    randomized(encoder)
    x = noise_image(height=64, width=128, batch=1)
    with torch.no_grad():
        signals = encoder(x)
        rolled = encoder(x.roll(encoder.total_stride, -1))
    assert [signal.shape[1] for signal in signals] == encoder.channels
    assert [128 // signal.shape[-1] for signal in signals] == encoder.strides
    for signal, other, stride in zip(signals, rolled, encoder.strides, strict=True):
        wanted = signal.roll(encoder.total_stride // stride, -1)
        torch.testing.assert_close(other, wanted, rtol=1e-9, atol=1e-10 * float(signal.abs().max()))


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("resnet18", {"fc"}),
        ("efficientnet_b0", {"conv_head", "bn2", "classifier"}),
        ("convnext_atto", {"head"}),
        ("vgg11_bn", {"pre_logits", "head"}),
    ],
)
def test_encoders_take_the_weights_of_whole_networks_of_timm(name, dropped):
    flat = randomized(timm(name))
    encoder = make_encoder(f"timm:{name}", 3, oc.Plane()).double().eval()
    report = load_weights(encoder, flat.state_dict())
    assert {entry.split(" ")[0].split(".")[0] for entry in report.dropped} == dropped
    assert not report.kept
    x = noise_image(height=64, width=96, batch=1)
    with torch.no_grad():
        wanted = flat.forward_intermediates(x, intermediates_only=True)
        torch.testing.assert_close(encoder(x)[-1], wanted[-1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "build", [partial(torchvision, "deeplabv3_resnet50", weights_backbone=None), partial(smp, "Unet", "resnet50")]
)
def test_backbones_of_other_libraries_are_found(build):
    report = load_weights(make_encoder("resnet50", 3, oc.Plane()), build().state_dict())
    assert len(report.loaded) == 318
    assert not report.kept + report.skipped


def test_on_a_plane_an_encoder_is_timms_own_network():
    import timm as package

    encoder = make_encoder("timm:resnet18", 1, oc.Plane(), 16)
    flat = package.create_model("resnet18", features_only=True, in_chans=1, output_stride=16, pretrained=False)
    flat.load_state_dict(encoder.network.state_dict())
    x = torch.randn(2, 1, 64, 96)
    torch.testing.assert_close(encoder(x), flat(x))
    assert encoder.strides == [2, 4, 8, 16, 16]


def test_tangent_encoder_is_equivariant_and_has_its_surfaces():
    surface = oc.Equirectangular(height=64, kernels="tangent")
    encoder = make_encoder("timm:resnet18", 3, surface)
    assert [level.height for level in encoder.surfaces] == [32, 16, 8, 4, 2]
    last = nn.Sequential(encoder, Last())
    assert roll_error(randomized(last), noise_image(height=64, width=128, batch=1), 32) < 1e-10


class Last(nn.Module):
    def forward(self, signals):
        return signals[-1]


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("resnet19", {}, r"encoder='timm:resnet19': is no network of timm; did you mean resnet"),
        ("no such network at all", {}, "is no network of timm; list the names by timm.list_models"),
        ("resnet18", {"depth": 3}, "encoder='timm:resnet18': cannot be built as an encoder with these arguments"),
        ("swin_tiny_patch4_window7_224", {}, "returns signals with channels last; choose a convolutional network"),
    ],
)
def test_wrong_names_and_arguments_raise_one_line(name, options, text):
    with pytest.raises(InputError, match=text) as caught:
        make_encoder(f"timm:{name}", 3, oc.Plane(), **options)
    assert "\n" not in str(caught.value)
