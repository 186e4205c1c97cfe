"""Laws of generative networks on panoramas: nothing depends on where the seam is, nothing ends at a pole.

Beside them networks of the same weights that pad with zeros, and ones with per-module circular padding: convolutions
are circular along the width, all other layers are those of flat images.
"""

from __future__ import annotations

import copy
import math

import pytest
import torch
from test_denoiser import draw, started
from test_r3gan import randomized

from examples.climate.data import CircularConvolutions
from omniconv.generation.edm import karras_schedule, loss_weight, training_noise_levels
from omniconv.generation.samplers import heun
from omniconv.metrics.seams import pole_scores, seam_score
from omniconv.models import Autoencoder, Denoiser, Generator, LocalDenoiser
from omniconv.nn import Conv, ConvTranspose, Patchify, Unpatchify
from omniconv.surfaces import Equirectangular, Plane
from omniconv.surfaces.panorama import pixel_directions

TORUS = Plane(border="circular")


def generator(surface, **options):
    torch.manual_seed(0)
    return randomized(Generator(1, 4, surface, **{"width": 8, "depth": 2, **options})).double()


def autoencoder(surface, **options):
    torch.manual_seed(0)
    return Autoencoder(1, 4, surface, width=4, depth=2, **options).double().eval()


def denoiser(surface, **options):
    torch.manual_seed(0)
    return started(Denoiser(1, surface, **{"width": 4, **options}), std=0.3).double().eval()


def apply(network, x):
    """Return decoded signals of an autoencoder, images of a generator, samples of a denoiser."""
    with torch.no_grad():
        if isinstance(network, Autoencoder):
            return network.decode(x)
        return network(x) if isinstance(network, Generator) else heun(network, SIGMAS[0] * x, SIGMAS)


LATENT, IMAGE = (2, 4, 4, 8), (1, 1, 16, 32)
SIGMAS = karras_schedule(2)


def roll_error(network, shape):
    """Return the largest difference of the result of a rolled input and the rolled result, in standard deviations."""
    x = draw(*shape)
    y, moved = apply(network, x), apply(network, x.roll(shape[-1] // 4, -1))
    return float((moved - y.roll(y.shape[-1] // 4, -1)).abs().max() / y.std())


# The seam


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(generator, LATENT, id="generator"),
        pytest.param(autoencoder, LATENT, id="decoder"),
        pytest.param(lambda surface: autoencoder(surface, up="transposed"), LATENT, id="transposed decoder"),
        pytest.param(denoiser, IMAGE, id="denoiser"),
        pytest.param(lambda surface: denoiser(surface, depth=2, attention=(2,)), IMAGE, id="denoiser with attention"),
    ],
)
def test_circular_convolutions_alone_do_not_make_a_network_seamless(make, shape):
    assert roll_error(make(Equirectangular()), shape) < 1e-9
    assert roll_error(make(CircularConvolutions()), shape) > 0.1
    assert roll_error(make(Plane()), shape) > 0.1


def test_circular_convolutions_are_enough_where_no_other_layer_looks_past_the_edge():
    """Nearest-neighbour upsampling, blocks of samples, strides that divide the width and attention leave no seam."""
    options = {"interpolation": "nearest", "middle_attention": True}
    for surface in (Equirectangular(), CircularConvolutions()):
        assert roll_error(denoiser(surface, **options), IMAGE) < 1e-9


def deviations(found):
    return (found.score - found.elsewhere) / found.spread


def test_generated_panoramas_have_no_seam():
    """The Discontinuity Score shows what the error above is: also circular convolutions leave a seam in a generator."""
    latent, found = draw(64, *LATENT[1:]), {}
    for surface in (Equirectangular(), CircularConvolutions(), Plane()):
        found[surface] = seam_score(apply(generator(surface), latent))
    seamless, *seams = (deviations(score) for score in found.values())
    assert abs(seamless) < 3, found
    assert min(seams) > 6, found


# The poles


def torus(x):
    """Return a panorama and its continuation over both poles, ``(…, 2H, W)``: meridians become great circles."""
    return torch.cat([x, x.flip(-2).roll(x.shape[-1] // 2, -1)], -2)


def flipped(network):
    """Return a copy whose kernels are mirrored between north and south.

    Kernels of stride 2 are centred on the first of the two rows that one row of their output stands for: the tap before
    both has no counterpart, and is left out (here and by ``symmetric``).
    """
    network = copy.deepcopy(network)
    blocks = {layer.conv: layer for layer in network.modules() if isinstance(layer, Patchify | Unpatchify)}
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, Conv | ConvTranspose) and layer.weight.shape[-2] > 1:
                layer.weight.copy_(_flipped(layer.weight, layer, blocks.get(layer)))
                if isinstance(blocks.get(layer), Unpatchify):
                    layer.bias.copy_(layer.bias.unflatten(0, (-1, 2, 2)).flip(1).flatten())
    return network


def _flipped(weight, layer, blocks):
    if layer.stride == 2:
        return torch.cat([torch.zeros_like(weight[..., :1, :]), weight[..., 1:, :].flip(-2)], -2)
    if blocks is not None:  # channels are the samples of a block: their two rows change places
        axis = 1 if isinstance(blocks, Patchify) else 0
        return weight.unflatten(axis, (-1, 2, 2)).flip(axis + 1, -2).flatten(axis, axis + 2)
    return weight.flip(-2)


def symmetric(network):
    """Return a copy whose kernels are their own mirror images."""
    mirrored, again = flipped(network), flipped(flipped(network))
    with torch.no_grad():
        for one, other in zip(mirrored.parameters(), again.parameters(), strict=True):
            one.lerp_(other, 0.5)
    return mirrored


def local(surface):
    torch.manual_seed(0)
    return LocalDenoiser(1, surface, width=4, blocks=3).double().eval()


def plain_denoiser(surface):
    """Return a denoiser of two properties that the law below needs.

    It has no group norm, whose means over a panorama are weighted by area, unlike those of a torus; and no blocks of
    samples, whose rows a convolution beyond a pole meets in the other order.
    """
    return denoiser(surface, normalization="weight", patch=1)


NETWORKS = [
    pytest.param(generator, LATENT, id="generator"),
    pytest.param(autoencoder, LATENT, id="decoder"),
    pytest.param(lambda surface: autoencoder(surface, up="transposed"), LATENT, id="transposed decoder"),
    pytest.param(local, IMAGE, id="local denoiser"),
    pytest.param(plain_denoiser, IMAGE, id="denoiser"),
]


@pytest.mark.parametrize(
    ("make", "shape"), [*NETWORKS, pytest.param(denoiser, IMAGE, id="denoiser with blocks and group norm")]
)
def test_mirrored_kernels_give_the_mirrored_panorama(make, shape):
    network, x = flipped(flipped(make(Equirectangular()))), draw(*shape)
    y = apply(network, x)
    torch.testing.assert_close(apply(flipped(network), x.flip(-2)), y.flip(-2), rtol=0, atol=1e-9 * float(y.std()))
    assert (apply(network, x.flip(-2)) - y.flip(-2)).abs().max() > 1e-3 * y.std()


@pytest.mark.parametrize(("make", "shape"), NETWORKS)
def test_panoramas_continue_over_the_poles_as_on_a_torus(make, shape):
    """With kernels that are their own mirror images a network knows no pole.

    All that it computes is that of a network on the torus of twice the rows, which has no border at all, and whose rows
    0 and −1 are as any other two. Other kernels are turned beyond a pole: there a layer shows what it computed from the
    other side, so that its signal is continuous, but not the convolution of the continued panorama.
    """
    network, x = symmetric(make(Equirectangular())), draw(*shape)
    y, on_torus, cut = apply(network, x), make(TORUS), make(Equirectangular("zeros"))
    on_torus.load_state_dict(network.state_dict())
    cut.load_state_dict(network.state_dict())
    torch.testing.assert_close(apply(on_torus, torus(x)), torus(y), rtol=0, atol=1e-9 * float(y.std()))
    assert (apply(cut, x) - y).abs().max() > 0.01 * y.std()


def test_generated_panoramas_have_no_pole():
    latent, network, found = draw(64, *LATENT[1:]), symmetric(generator(Equirectangular())), {}
    for surface in (Equirectangular(), Equirectangular("zeros")):
        same = generator(surface)
        same.load_state_dict(network.state_dict())
        found[surface] = [deviations(pole) for pole in pole_scores(apply(same, latent))]
    over, zeros = found.values()
    assert max(map(abs, over)) < 2.5, found
    assert min(zeros) > 3, found


def smooth_fields(count):
    """Return random waves on the sphere without a preferred longitude, ``(count, 1, 16, 32)``."""
    random = torch.Generator().manual_seed(0)
    axes, phases = torch.randn(24, 3, generator=random), 2 * math.pi * torch.rand(24, generator=random)
    waves = torch.sin(torch.einsum("hwx,kx->khw", torch.from_numpy(pixel_directions(16, 32)).float(), 3 * axes)
                      + phases[:, None, None])  # fmt: skip
    fields = torch.einsum("nk,khw->nhw", torch.randn(count, 24, generator=random), waves)
    rolls = torch.randint(32, (count,), generator=random).tolist()
    return torch.stack([field.roll(roll, -1) for field, roll in zip(fields, rolls, strict=True)])[:, None] / 7


def trained(surface, fields, steps=100):
    torch.manual_seed(0)
    network, random = Denoiser(1, surface, width=8), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(steps):
        x = fields[torch.randint(len(fields), (16,), generator=random)]
        sigma = training_noise_levels(16, random)
        noise = sigma.view(-1, 1, 1, 1) * torch.randn(x.shape, generator=random)
        error = (network(x + noise, sigma) - x).square()
        optimizer.zero_grad()
        (loss_weight(sigma).view(-1, 1, 1, 1) * error).mean().backward()
        optimizer.step()
    return network


@pytest.mark.slow
def test_samples_of_trained_denoisers_have_neither_seam_nor_pole():
    """Without the restrictions of the laws above; circular convolutions remove the visible seam, but not the poles."""
    fields, found = smooth_fields(512), {}
    for surface in (Equirectangular(), CircularConvolutions()):
        network = trained(surface, fields)
        panoramas = network.sample(64, steps=8, grid=(16, 32), generator=torch.Generator().manual_seed(0))
        found[surface] = [deviations(score) for score in (seam_score(panoramas), *pole_scores(panoramas))]
    sphere, circular = found.values()
    assert max(map(abs, sphere)) < 3, found
    assert abs(circular[0]) < 3, found
    assert min(circular[1:]) > 5, found
