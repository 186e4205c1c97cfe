from __future__ import annotations

import pytest
import torch
from model_battery import SHAPES, every_surface

from omniconv.errors import InputError
from omniconv.nn import FourierEmbedding, LabelEmbedding, NormScaleShift, ScaleShift, SinusoidalEmbedding


def test_sinusoidal_embedding_has_the_published_frequencies():
    found = SinusoidalEmbedding(6, max_period=100.0)(torch.tensor([2.0]))
    angles = 2 * torch.tensor([1.0, 0.1, 0.01])
    torch.testing.assert_close(found[0], torch.cat([angles.sin(), angles.cos()]))


def test_sinusoidal_embedding_without_endpoint():
    found = SinusoidalEmbedding(4, max_period=100.0, endpoint=False)(torch.tensor([2]))
    angles = 2 * torch.tensor([1.0, 0.1])
    torch.testing.assert_close(found[0], torch.cat([angles.sin(), angles.cos()]))


def test_fourier_embedding_is_the_same_in_every_process_and_keeps_no_state():
    embedding = FourierEmbedding(256)
    assert not embedding.state_dict()
    x = torch.randn(16)
    torch.testing.assert_close(embedding(x), FourierEmbedding(256)(x))
    assert (embedding(x).square().mean() - 1).abs() < 0.1


def test_frequencies_are_normal_with_the_bandwidth():
    frequencies, phases = FourierEmbedding(512, bandwidth=2.0).own_table("frequencies").tensors
    assert abs(frequencies.std() / (2 * torch.pi) - 2) < 0.05
    assert abs(phases.mean() / torch.pi - 1) < 0.02


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_embeddings_keep_the_dtype(dtype):
    for embedding in (FourierEmbedding(8), SinusoidalEmbedding(8)):
        assert embedding(torch.ones(2, dtype=dtype)).dtype == dtype


def test_label_embedding_has_a_row_for_no_class():
    embedding = LabelEmbedding(3, 5)
    found = embedding(torch.tensor([0, 3]))
    assert found.shape == (2, 5)
    torch.testing.assert_close(embedding(None, 2), found[1].expand(2, -1))


@every_surface
def test_scale_and_shift_by_an_embedding(surface):
    layer, x, embedding = ScaleShift(5, 4), torch.randn(2, 4, *SHAPES[surface]), torch.randn(2, 5)
    torch.testing.assert_close(layer(x, embedding), x)
    torch.nn.init.normal_(layer.linear.weight)
    scale, shift = layer.linear(embedding).reshape(2, 8, *[1] * surface.ndim).chunk(2, 1)
    torch.testing.assert_close(layer(x, embedding), x * (1 + scale) + shift)


@every_surface
def test_fused_block_is_norm_scale_shift_activation(surface):
    block, x, embedding = NormScaleShift(8, 5, surface=surface), torch.randn(2, 8, *SHAPES[surface]), torch.randn(2, 5)
    torch.nn.init.normal_(block.scale_shift.linear.weight)
    wanted = torch.nn.functional.silu(block.scale_shift(block.norm(x), embedding))
    torch.testing.assert_close(block(x, embedding), wanted, rtol=1e-4, atol=1e-5)


def test_block_without_embedding():
    block, x = NormScaleShift(8, activation="relu"), torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), block.norm(x).relu())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SinusoidalEmbedding(5), "channels=5: must be even"),
        (lambda: SinusoidalEmbedding(4, max_period=0), "max_period=0: must be a number above 1"),
        (lambda: FourierEmbedding(4, bandwidth=-1), "bandwidth=-1: must be a number above 0"),
        (lambda: FourierEmbedding(4)(torch.zeros(2, 1)), "must be \\(batch,\\)"),
        (lambda: LabelEmbedding(0, 4), "classes=0"),
        (lambda: LabelEmbedding(2, 4)(torch.zeros(2)), "must be integers"),
        (lambda: NormScaleShift(4, 2)(torch.zeros(1, 4, 2, 2)), "embedding=None: is required"),
    ],
)
def test_wrong_arguments_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        build()
