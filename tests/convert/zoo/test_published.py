from __future__ import annotations

import copy
import warnings

import pytest
import torch
from published import SEAMLESS, WITH_SEAMS
from roll_equivariance import main_output, noise_image, randomized, roll_error

import omniconv as oc

pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore", "error::omniconv.convert.SeamWarning")]


@pytest.fixture(params=list(SEAMLESS))
def published(request):
    build, stride = SEAMLESS[request.param]
    torch.manual_seed(0)
    return randomized(build()), stride


def test_converted_network_is_equivariant_to_rolls(published, record_property):
    flat, stride = published
    x = noise_image(height=128, width=256, batch=1)
    keys, before = list(flat.state_dict()), roll_error(flat, x, 3 * stride)
    network = oc.convert.to_equirectangular(flat)
    assert list(network.state_dict()) == keys
    errors = [roll_error(network, x, multiple * stride) for multiple in (1, 3)]
    record_property("flat", before)
    record_property("converted", max(errors))
    print(f"flat {before:.1e}, converted {max(errors):.1e}")  # noqa: T201  # shown by -rP
    assert max(errors) < 1e-10


def test_report_has_no_seam_and_gives_the_stride(published):
    flat, stride = published
    network, report = oc.convert.to_equirectangular(flat, report=True)
    assert not [str(found) for found in report if found.seam]
    assert report[-1].reason == f"is equivariant to rolls by multiples of {stride} columns"
    assert type(oc.convert.revert(network)).__name__ == type(flat).__name__


@pytest.mark.parametrize("name", list(WITH_SEAMS))
def test_seam_is_found(name):
    build, expected = WITH_SEAMS[name]
    size = (224, 224) if "vit" in name else (128, 256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oc.convert.SeamWarning)
        _, report = oc.convert.to_equirectangular(build(), report=True, size=size)
    assert expected in [(finding.module, finding.operation) for finding in report if finding.seam]


TANGENT = ("torchvision resnet50", "torchvision deeplabv3", "timm efficientnet with SAME padding", "smp Unet",
           "diffusers AutoencoderKL")  # fmt: skip


@pytest.mark.parametrize("name", TANGENT)
def test_tangent_network_is_equivariant_to_rolls(name):
    build, stride = SEAMLESS[name]
    torch.manual_seed(0)
    network = oc.convert.to_tangent(randomized(build()), 64)
    assert roll_error(network, noise_image(height=64, width=128, batch=1), stride) < 1e-10


@pytest.mark.parametrize("name", ["timm resnet", "smp Unet", "diffusers AutoencoderKL"])
def test_compiled_and_exported_network_equals_the_converted_one(name):
    network, x = randomized(SEAMLESS[name][0]()), noise_image(height=64, width=128, batch=1)
    oc.convert.to_equirectangular(network)
    with torch.no_grad():
        y = main_output(network(x))
        program = torch.export.export(network, (x,), strict=False)
        torch.testing.assert_close(main_output(program.module()(x)), y)
        torch._dynamo.reset()
        torch.testing.assert_close(main_output(torch.compile(network, backend="eager")(x)), y)


def test_methods_of_an_autoencoder_are_converted():
    network, x = (
        oc.convert.to_equirectangular(randomized(SEAMLESS["diffusers AutoencoderKL"][0]())),
        noise_image(3, 64, 128, 1),
    )
    with torch.no_grad():
        code = network.encode(x).latent_dist.mode()
        rolled = network.encode(x.roll(8, -1)).latent_dist.mode()
        torch.testing.assert_close(rolled, code.roll(2, -1))
        torch.testing.assert_close(network.decode(code.roll(2, -1)).sample, network.decode(code).sample.roll(8, -1))


def test_converted_network_trains_and_loads_a_flat_state_dict():
    network = oc.convert.to_equirectangular(SEAMLESS["timm resnet"][0]())
    twin = copy.deepcopy(network)
    network.train()(torch.rand(2, 3, 64, 128)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    fresh = SEAMLESS["timm resnet"][0]()
    fresh.load_state_dict(twin.state_dict())
    x = torch.rand(1, 3, 64, 128)
    torch.testing.assert_close(oc.convert.to_equirectangular(fresh.eval())(x), twin.eval()(x))
