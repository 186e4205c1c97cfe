from __future__ import annotations

import re

import pytest
import torch
from model_battery import ModelBattery, compiled_surfaces, every_surface

from omniconv.errors import InputError
from omniconv.models import Inpainter, load, save
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

KINDS = ("gated", "partial", "plain", "deepfill")
U_NETS = KINDS[:3]
POLES = ("over", "zeros", "replicate", "reflect")
SHAPES = {
    Plane(): (9, 14),
    Equirectangular(): (8, 16),
    Equirectangular(height=8, kernels="rows"): (8, 16),
    Equirectangular(height=8, kernels="tangent"): (8, 16),
    Icosphere(2): (162,),
    Icosahedron(2): (320,),
    Healpix(4): (192,),
    Cubemap(8): (6, 8, 8),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


class InpainterBattery(ModelBattery):
    kind = "gated"

    def build(self, surface):
        return Inpainter(3, surface, self.kind, width=4, rates=(2,))

    def output_shape(self, surface, inputs):
        return inputs[0].shape

    @every_surface
    def test_samples_of_a_batch_do_not_mix_in_evaluation(self, surface):
        # In double precision: windows with one known sample amplify rounding.
        model, (image, mask) = self.model(surface).double(), self.inputs(surface)
        image = image.double()
        with torch.no_grad():
            torch.testing.assert_close(model(image[:1], mask[:1]), model(image, mask)[:1])

    @pytest.mark.slow
    @compiled_surfaces
    def test_compiled_model_gives_the_same(self, surface):
        super().test_compiled_model_gives_the_same(surface)

    @pytest.mark.slow
    @compiled_surfaces
    def test_exported_model_takes_any_batch_size(self, surface):
        super().test_exported_model_takes_any_batch_size(surface)


class TestPartial(InpainterBattery):
    kind = "partial"


@pytest.mark.slow
class TestGated(InpainterBattery):
    pass


@pytest.mark.slow
class TestDeepFill(InpainterBattery):
    kind = "deepfill"


def case(grid, channels=3, batch=2, seed=1):
    """Images, and masks with a hole of a third of all samples and some single ones."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, channels, *grid, generator=generator, dtype=torch.float64)
    mask = (torch.rand(batch, 1, *grid, generator=generator) < 0.1).double()
    mask.flatten(2)[..., : mask[0].numel() // 3] = 1
    return image, mask


def build(kind, surface=Plane(), **options):  # noqa: B008
    torch.manual_seed(0)
    options = {"width": 4, "rates": (1, 2)} | options
    return Inpainter(3, surface, kind, **options).double()


@every_kind
@pytest.mark.parametrize("surface", SHAPES, ids=str)
def test_known_samples_stay_and_values_in_the_hole_have_no_effect(surface, kind):
    network = build(kind, surface)
    image, mask = case(SHAPES[surface])
    filled = network(image, mask)
    assert torch.equal(filled.where(mask == 0, 0), image.where(mask == 0, 0))
    assert torch.equal(network(image.where(mask == 0, torch.nan), mask), filled)
    assert (filled != image).any(1, keepdim=True)[mask == 1].all()
    image.requires_grad_()
    network(image, mask).square().sum().backward()
    hole = (mask == 1).expand_as(image)
    assert image.grad[hole].count_nonzero() == 0
    assert image.grad[~hole].count_nonzero() > 0
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_kind
@pytest.mark.parametrize("poles", POLES)
def test_hole_across_the_seam_is_filled_as_anywhere_else(poles, kind):
    network = build(kind, Equirectangular(poles), rates=(1, 2, 4) if poles != "reflect" else (1,))
    image, mask = case((16, 48))
    mask = torch.zeros_like(mask)
    mask[..., 3:8, 20:26] = 1
    filled = network(image, mask)
    for shift in (24, network.total_stride, -8):  # by 24 the hole lies on the first and the last columns
        rolled = network(image.roll(shift, -1), mask.roll(shift, -1))
        torch.testing.assert_close(rolled, filled.roll(shift, -1), rtol=0, atol=1e-10)


@every_kind
def test_network_commutes_with_quarter_turns_of_healpix(kind):
    def turned(x):
        return x.unflatten(2, (3, 4, -1)).roll(1, dims=3).flatten(2)

    network = build(kind, Healpix(4))
    image, mask = case((192,))
    found = network(turned(image), turned(mask))
    torch.testing.assert_close(found, turned(network(image, mask)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("width", [16, 24, 32])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_kinds_have_one_size(width, depth):
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in Inpainter(3, Plane(), kind, width, depth).parameters()) for kind in U_NETS]
    assert max(sizes) < 1.05 * min(sizes)


@pytest.mark.parametrize(("kind", "count"), [("gated", 968_379), ("deepfill", 4_052_478)])
def test_number_of_parameters(kind, count):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in Inpainter(3, kind=kind).parameters()) == count


@every_kind
def test_whole_and_empty_holes_are_defined(kind):
    network = build(kind)
    image, _ = case((9, 14))
    assert torch.equal(network(image, torch.zeros(1, 1, 9, 14)), image)
    filled = network(image, torch.ones(1, 1, 9, 14))
    assert filled.isfinite().all()
    torch.testing.assert_close(filled[0], filled[1])


@every_kind
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_masks_of_any_dtype_and_one_for_the_batch(dtype, kind):
    network = build(kind)
    image, mask = case((9, 14))
    expected = network(image, mask[:1].expand(2, -1, -1, -1))
    torch.testing.assert_close(network(image, 7 * mask[:1].to(torch.uint8).to(dtype)), expected)


@every_kind
def test_inpaint_is_forward_in_batches(kind):
    network = build(kind)
    image, mask = case((9, 14), batch=5)
    filled = network.inpaint(image, mask, generator=torch.Generator(), batch_size=2)
    torch.testing.assert_close(filled, network(image, mask))
    assert not filled.requires_grad
    torch.testing.assert_close(network.inpaint(image, mask[:1], batch_size=2)[-1:], network(image[-1:], mask[:1]))


@every_kind
@pytest.mark.parametrize("grid", [(1, 1), (3, 2), (13, 11)], ids=str)
def test_any_size(grid, kind):
    image, mask = case(grid)
    assert build(kind)(image, mask).shape == image.shape
    assert build(kind, Equirectangular())(image, mask).shape == image.shape


@every_kind
def test_tanh_bounds_the_prediction(kind):
    network = build(kind, tanh=True)
    image, mask = case((9, 14))
    for name, parameter in network.named_parameters():
        parameter.data *= 1000 if "head" in name else 1
    stages = network.predictions(image, mask)
    assert len(stages) == (2 if kind == "deepfill" else 1)
    assert max(raw.abs().max() for raw in stages) <= 1
    assert torch.equal(network.stages(image, mask)[-1], network(image, mask))


@every_kind
def test_saved_network_is_the_same(kind, tmp_path):
    network = build(kind).float()
    save(network, tmp_path / "model.safetensors")
    image, mask = network.example_inputs((9, 14), 2)
    assert 0 < mask.mean() < 1
    assert torch.equal(load(tmp_path / "model.safetensors")(image, mask), network(image, mask))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kind": "gate"}, "kind='gate': must be one of gated, partial, plain, deepfill"),
        ({"in_channels": 0}, "in_channels=0: must be a whole number from 1"),
        ({"width": 0}, "width=0: must be a whole number from 1"),
        ({"rates": 2}, "rates=2: must be a sequence of whole numbers from 1; use rates=(2, 4, 8)"),
        ({"rates": (0,)}, "rates=0: must be a whole number from 1"),
        ({"depth": 3, "surface": Icosphere(2)}, "depth=3: must be at most 2, the number of coarser levels"),
        ({"depth": 3, "kind": "deepfill"}, "depth=3: must be 2 with kind='deepfill'"),
        ({"activation": "tanh"}, "activation='tanh': must be one of relu"),
        ({"tanh": "no"}, "tanh='no': must be True or False"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        Inpainter(**{"in_channels": 3, **arguments})


@pytest.mark.parametrize(
    ("image", "mask", "text"),
    [
        (torch.zeros(2, 3, 8, 9), torch.zeros(2, 1, 9, 8), "mask=(2, 1, 9, 8): must have the grid (8, 9)"),
        (torch.zeros(2, 3, 8, 9), torch.zeros(2, 3, 8, 9), "mask=(2, 3, 8, 9): must be (2, 1, 8, 9), one value"),
        (torch.zeros(2, 3, 8, 9), torch.zeros(8, 9), "mask=(8, 9): must be (2, 1, 8, 9)"),
        (torch.zeros(2, 3, 8, 9), None, "mask=<class 'NoneType'>: must be a tensor"),
        (torch.zeros(2, 4, 8, 9), torch.zeros(2, 1, 8, 9), "input=(2, 4, 8, 9): must have 3 channels on axis 1"),
    ],
)
def test_wrong_input_is_refused(image, mask, text):
    network = Inpainter(3, width=4)
    with pytest.raises(InputError, match=re.escape(text)):
        network(image, mask)
    with pytest.raises(InputError, match=re.escape(text)):
        network.inpaint(image, mask)


@every_kind
@pytest.mark.parametrize("surface", [Plane(), Icosphere(3), Icosahedron(3), Healpix(8)], ids=str)
def test_signals_neither_grow_nor_vanish_in_a_new_network(surface, kind):
    torch.manual_seed(0)
    network = Inpainter(3, surface, kind)
    image, mask = network.example_inputs((32, 32))
    spread = network.predictions(image, mask)[-1].std()
    assert 0.03 < spread < (100 if kind == "partial" else 10)  # it amplifies where few samples are known
