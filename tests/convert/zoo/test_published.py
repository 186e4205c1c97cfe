from __future__ import annotations

import copy
import warnings

import pytest
import torch
from published import SEAMLESS, WITH_SEAMS
from turning import lively, main_output, picture, turn_error

import omniconv as oc

pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore", "error::omniconv.convert.SeamWarning")]


@pytest.fixture(params=list(SEAMLESS))
def published(request):
    build, stride = SEAMLESS[request.param]
    torch.manual_seed(0)
    return lively(build()), stride


def test_network_turns_with_the_panorama(published, record_property):
    flat, stride = published
    x = picture(height=128, width=256, batch=1)
    keys, before = list(flat.state_dict()), turn_error(flat, x, 3 * stride)
    network = oc.convert.to_equirectangular(flat)
    assert list(network.state_dict()) == keys
    errors = [turn_error(network, x, turns * stride) for turns in (1, 3)]
    record_property("flat", before)
    record_property("converted", max(errors))
    print(f"flat {before:.1e}, converted {max(errors):.1e}")  # noqa: T201  # shown by -rP
    assert max(errors) < 1e-10


def test_report_has_no_seam_and_the_stride(published):
    flat, stride = published
    network, report = oc.convert.to_equirectangular(flat, report=True)
    assert not [str(found) for found in report if found.seam]
    assert report[-1].reason == f"turns with the panorama by multiples of {stride} columns"
    assert type(oc.convert.revert(network)).__name__ == type(flat).__name__


@pytest.mark.parametrize("name", list(WITH_SEAMS))
def test_seam_is_found_and_named(name):
    build, found = WITH_SEAMS[name]
    size = (224, 224) if "vit" in name else (128, 256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oc.convert.SeamWarning)
        _, report = oc.convert.to_equirectangular(build(), report=True, size=size)
    assert found in [(finding.module, finding.operation) for finding in report if finding.seam]


TANGENT = ("torchvision resnet50", "torchvision deeplabv3", "timm efficientnet, TensorFlow's padding", "smp Unet",
           "diffusers AutoencoderKL")  # fmt: skip


@pytest.mark.parametrize("name", TANGENT)
def test_kernels_on_touching_planes_turn_too(name):
    build, stride = SEAMLESS[name]
    torch.manual_seed(0)
    network = oc.convert.to_tangent(lively(build()), 64)
    assert turn_error(network, picture(height=64, width=128, batch=1), stride) < 1e-10


@pytest.mark.parametrize("name", ["timm resnet", "smp Unet", "diffusers AutoencoderKL"])
def test_compiled_and_exported_network_is_the_converted_one(name):
    network, x = lively(SEAMLESS[name][0]()), picture(height=64, width=128, batch=1)
    oc.convert.to_equirectangular(network)
    with torch.no_grad():
        y = main_output(network(x))
        program = torch.export.export(network, (x,), strict=False)
        torch.testing.assert_close(main_output(program.module()(x)), y)
        torch._dynamo.reset()
        torch.testing.assert_close(main_output(torch.compile(network, backend="eager")(x)), y)


def test_parts_of_an_autoencoder_can_be_called():
    network, x = oc.convert.to_equirectangular(lively(SEAMLESS["diffusers AutoencoderKL"][0]())), picture(3, 64, 128, 1)
    with torch.no_grad():
        code = network.encode(x).latent_dist.mode()
        turned = network.encode(x.roll(8, -1)).latent_dist.mode()
        torch.testing.assert_close(turned, code.roll(2, -1))
        torch.testing.assert_close(network.decode(code.roll(2, -1)).sample, network.decode(code).sample.roll(8, -1))


def test_converted_network_trains_and_checkpoints_load():
    network = oc.convert.to_equirectangular(SEAMLESS["timm resnet"][0]())
    twin = copy.deepcopy(network)
    network.train()(torch.rand(2, 3, 64, 128)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    fresh = SEAMLESS["timm resnet"][0]()
    fresh.load_state_dict(twin.state_dict())
    x = torch.rand(1, 3, 64, 128)
    torch.testing.assert_close(oc.convert.to_equirectangular(fresh.eval())(x), twin.eval()(x))
