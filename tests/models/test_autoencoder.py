from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from model_battery import SHAPES, ModelBattery

from omniconv.errors import InputError
from omniconv.models import Autoencoder, load, save
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

BETA_VAE = {
    "variational": True, "latent": "vector", "size": 64, "hidden": 256, "width": (32, 32, 64, 64), "depth": 4,
    "blocks": 0, "kernel_size": 4, "up": "transposed", "head_kernel": None, "normalization": "none",
}  # fmt: skip


class AutoencoderBattery(ModelBattery):
    def output_shape(self, surface, inputs):
        return inputs[0].shape


class TestAutoencoder(AutoencoderBattery):
    @staticmethod
    def build(surface):
        return Autoencoder(3, 2, surface, width=4, depth=2)


@pytest.mark.slow
class TestVariationalAutoencoder(AutoencoderBattery):
    @staticmethod
    def build(surface):
        options = {"variational": True, "up": "transposed", "normalization": "none", "head_kernel": None, "blocks": 0}
        return Autoencoder(3, 2, surface, width=(4, 6), depth=2, sigmoid=True, **options)


def rotated(surface, angle):
    """Return the index that rotates signals of a surface about its axis by an angle which permutes its samples."""
    directions = surface.directions().reshape(-1, 3)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = directions @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    table = surface.nearest_sample(turned)
    np.testing.assert_allclose(directions[table], turned, atol=1e-6)
    return torch.from_numpy(table)


def turn(x, surface, angle):
    return x.flatten(2)[..., rotated(surface, angle)].view_as(x)


@pytest.mark.parametrize(("channels", "latents", "count"), [(3, 10, 765_335), (1, 10, 763_285), (3, 32, 782_275)])
def test_beta_vae_has_its_number_of_parameters(channels, latents, count):
    with torch.device("meta"):
        model = Autoencoder(channels, latents, **BETA_VAE)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_beta_vae_encodes_decodes_samples_and_is_saved(tmp_path):
    torch.manual_seed(0)
    model = Autoencoder(1, 10, **BETA_VAE)
    x = torch.rand(2, 1, 64, 64)
    mean, log_variance = model.encode(x)
    assert mean.shape == log_variance.shape == (2, 10)
    assert model.decode(mean).shape == x.shape
    assert model.sample(2).shape == (2, 1, 64, 64)
    save(model, tmp_path / "vae.safetensors")
    torch.testing.assert_close(load(tmp_path / "vae.safetensors")(x), model.eval()(x))
    with pytest.raises(InputError, match=re.escape("input=(1, 1, 32, 32): must be (batch, channels, 64, 64)")):
        model(x[:1, :, :32, :32])


@pytest.mark.parametrize("surface", SHAPES, ids=str)
def test_latent_vector_on_every_surface(surface):
    size = SHAPES[surface] if surface.any_size else None
    model = Autoencoder(3, 5, surface, latent="vector", size=size, hidden=6, width=4, depth=2)
    x = torch.randn(2, 3, *SHAPES[surface])
    assert model.encode(x).shape == (2, 5)
    assert model(x).shape == x.shape


@pytest.mark.parametrize("up", ["linear", "transposed"])
@pytest.mark.parametrize(
    "surface", [Equirectangular(), Equirectangular(height=8, kernels="tangent")], ids=str
)  # fmt: skip
def test_encoder_and_decoder_commute_with_rolls_of_the_panorama(surface, up):
    torch.manual_seed(0)
    model = Autoencoder(2, 3, surface, variational=True, width=4, depth=2, up=up).double().eval()
    x, latent = torch.randn(2, 2, 8, 16).double(), torch.randn(2, 3, 2, 4).double()
    for shift in (1, 3):
        moved = model.encode(x.roll(4 * shift, -1))
        for one, other in zip(moved, model.encode(x), strict=True):
            torch.testing.assert_close(one, other.roll(shift, -1), rtol=0, atol=1e-9)
        decoded = model.decode(latent.roll(shift, -1))
        torch.testing.assert_close(decoded, model.decode(latent).roll(4 * shift, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("surface", "angle"), [(Healpix(4), np.pi / 2), (Icosahedron(2), 2 * np.pi / 5), (Icosphere(2), np.pi)], ids=str
)
def test_encoder_and_decoder_commute_with_rotations_that_permute_the_samples(surface, angle):
    torch.manual_seed(0)
    model = Autoencoder(2, 3, surface, width=4, depth=2).double().eval()
    coarse = surface.coarser().coarser()
    latent = torch.randn(2, 3, *coarse.shape).double()
    decoded = model.decode(turn(latent, coarse, angle))
    torch.testing.assert_close(decoded, turn(model.decode(latent), surface, angle), rtol=0, atol=1e-9)
    x = torch.randn(2, 2, *surface.shape).double()
    encoded = model.encode(turn(x, surface, angle))
    torch.testing.assert_close(encoded, turn(model.encode(x), coarse, angle), rtol=0, atol=1e-9)


def test_samples_depend_on_their_seeds_only():
    torch.manual_seed(0)
    model = Autoencoder(1, 2, variational=True, width=4, depth=2).train()

    def sample(n, **options):
        return model.sample(n, generator=torch.Generator().manual_seed(3), grid=(9, 12), **options)

    done = []
    five = sample(5, batch_size=2, step=lambda *progress: done.append(progress[:2]))
    assert five.shape == (5, 1, 9, 12)
    assert done == [(2, 5), (4, 5), (5, 5)]
    torch.testing.assert_close(five[:3], sample(3), rtol=1e-5, atol=1e-6)
    assert all(module.training for module in model.modules())
    assert not five.requires_grad
    assert (five[0] - five[1]).abs().max() > 1e-4


def test_grid_of_samples_is_that_of_the_training():
    model = Autoencoder(1, 2, variational=True, width=4, depth=1)
    with pytest.raises(InputError, match=re.escape("grid=None: is required for a network on plane")):
        model.sample(1)
    model.preprocessing = {"preparation": {"size": [6, 8]}}
    assert model.sample(1).shape == (1, 1, 6, 8)
    cubes = Autoencoder(1, 2, Cubemap(4), variational=True, width=4, depth=1)
    assert cubes.sample(1).shape == (1, 1, 6, 4, 4)


def test_reconstruction_is_that_of_evaluation_mode():
    torch.manual_seed(0)
    model, x = Autoencoder(1, 2, width=4, depth=1), torch.randn(2, 1, 6, 8)
    model(x)
    reconstruction = model.reconstruct(x)
    assert not reconstruction.requires_grad
    torch.testing.assert_close(reconstruction, model.eval()(x))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"latent": "grid"}, "latent='grid': must be one of map, vector"),
        ({"latent": "vector"}, "size=None: is required with latent='vector' on plane"),
        ({"latent": "vector", "surface": Healpix(8), "size": 3}, "size=3: must be (768,) on healpix:8"),
        ({"hidden": 5}, "hidden=5: is used with latent='vector' only; leave it out"),
        ({"size": (8, 8)}, "size=(8, 8): is used with latent='vector' only"),
        ({"head_kernel": None}, "head_kernel=None: is possible with up='transposed' only"),
        ({"width": (4, 8)}, "width=(4, 8): must be one number or 3, one for each size"),
        ({"depth": 4, "surface": Icosphere(3)}, "depth=4: must be at most 3, the number of coarser levels"),
        ({"latent_channels": 0}, "latent_channels=0: must be a whole number from 1"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        Autoencoder(**{"in_channels": 3, "latent_channels": 2, "surface": Plane(), **arguments})


def test_plain_autoencoder_has_nothing_to_sample_from():
    model = Autoencoder(1, 2, width=4, depth=1)
    with pytest.raises(InputError, match="variational=False: has no distribution of its latent signals"):
        model.sample(1, grid=8)
    with pytest.raises(InputError, match="label=1: must be left out: an autoencoder knows no classes"):
        Autoencoder(1, 2, variational=True, width=4, depth=1).sample(1, 1, grid=8)
