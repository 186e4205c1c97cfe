"""Tests that every model must pass on every surface; the test class of a model only names its factory."""

from __future__ import annotations

import copy

import pytest
import torch

from omniconv.models import load, save
from omniconv.summaries.tracing import traced_stride
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

SHAPES = {
    Plane(1): (16,),
    Plane(2): (16, 24),
    Plane(2, border="reflect"): (16, 24),
    Plane(3): (8, 8, 12),
    Equirectangular(): (8, 16),
    Equirectangular("zeros"): (8, 16),
    Equirectangular(height=8, kernels="rows"): (8, 16),
    Icosphere(2): (162,),
    Icosahedron(2): (320,),
    Healpix(4): (192,),
    Cubemap(8): (6, 8, 8),
    Equirectangular(height=8, kernels="tangent"): (8, 16),
}
GRIDS = [surface for surface in SHAPES if None in surface.shape]
every_surface = pytest.mark.parametrize("surface", SHAPES, ids=str)
QUICK = (Equirectangular(),)
QUICK_SURFACES = (Plane(), Equirectangular(), Icosphere(2), Healpix(4))
"""Usual ``quick_surfaces`` of a battery: a border, a border over the poles, a mesh, and a grid of fixed size."""
compiled_surfaces = pytest.mark.parametrize(
    "surface",
    [surface if surface in QUICK else pytest.param(surface, marks=pytest.mark.slow) for surface in SHAPES],
    ids=str,
)


def assert_close(found, wanted):
    """Compare signals in single precision, relative to the largest value: sums round relative to their largest term."""
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(wanted.detach().abs().max())))


def gradients(model, inputs):
    """Return the gradients of a mean of squares with respect to all parameters and the first input."""
    x = inputs[0].clone().requires_grad_()
    model(x, *inputs[1:]).float().square().mean().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return {**found, "input": x.grad}


def in_dtype(inputs, dtype):
    """Convert the inputs that are floating-point; labels stay."""
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)


@pytest.mark.battery
class ModelBattery:
    """Base of a model's test class, which defines ``build(surface)``: a small network of 3 channels in and 2 out.

    A model with other outputs than ``dense`` and ``global`` redefines ``output_shape``. A model of layers that the
    battery tests in other models has ``quick_surfaces``: its tests on other surfaces, of compilation and of export are
    slow ones.
    """

    quick_surfaces = None

    @staticmethod
    def build(surface):
        raise NotImplementedError

    def model(self, surface):
        torch.manual_seed(0)
        return self.build(surface)

    def grid(self, surface, odd=False):
        """Return the grid of the images; a model that needs larger ones redefines it."""
        return (13, 11, 7)[: surface.ndim] if odd else SHAPES[surface]

    def inputs(self, surface, batch=2, grid=None):
        return self.model(surface).example_inputs(grid or self.grid(surface), batch)

    def output_shape(self, surface, inputs):
        """Return the shape of the output for the arguments of ``forward``."""
        x = inputs[0]
        return (x.shape[0], 2, *x.shape[2:]) if self.model(surface).output == "dense" else (x.shape[0], 2)

    @every_surface
    def test_forward_has_the_promised_shape(self, surface):
        x = self.inputs(surface)
        y = self.model(surface)(*x)
        assert y.shape == self.output_shape(surface, x)
        assert torch.isfinite(y).all()

    @every_surface
    def test_every_parameter_gets_a_finite_gradient(self, surface):
        for name, gradient in gradients(self.model(surface), self.inputs(surface)).items():
            assert gradient is not None, name
            assert torch.isfinite(gradient).all(), name

    @pytest.mark.parametrize("surface", GRIDS, ids=str)
    def test_odd_sizes(self, surface):
        x = self.inputs(surface, grid=self.grid(surface, odd=True))
        assert self.model(surface)(*x).shape == self.output_shape(surface, x)

    @every_surface
    def test_samples_of_a_batch_do_not_mix_in_evaluation(self, surface):
        model, x = self.model(surface).eval(), self.inputs(surface)
        with torch.no_grad():
            assert_close(model(*[one[:1] for one in x]), model(*x)[:1])

    @every_surface
    def test_saved_and_loaded_model_gives_the_same_output(self, surface, tmp_path):
        model, x = self.model(surface), self.inputs(surface)
        model(*x)  # moves the batch statistics
        save(model, tmp_path / "model.safetensors")
        again = load(tmp_path / "model.safetensors")
        assert not again.training
        assert again.arguments == model.arguments
        with torch.no_grad():
            assert torch.equal(model.eval()(*x), again(*x))

    @every_surface
    def test_total_stride_is_that_of_the_coarsest_layer(self, surface):
        model = self.model(surface)
        assert model.total_stride == traced_stride(model, (3, *self.grid(surface)))

    @every_surface
    def test_state_holds_weights_and_statistics_only(self, surface):
        model = self.model(surface)
        statistics = {name for name in model.state_dict() if "running" in name or "num_batches" in name}
        assert set(model.state_dict()) == {name for name, _ in model.named_parameters()} | statistics

    @every_surface
    def test_repr_names_class_and_surface(self, surface):
        text = repr(self.model(surface))
        assert type(self.model(surface)).__name__ in text
        assert str(surface) in text

    @every_surface
    def test_double_precision_is_near_single(self, surface):
        model, x = self.model(surface).eval(), self.inputs(surface)
        with torch.no_grad():
            single = model(*x)
            double = model.double()(*in_dtype(x, torch.float64))
        assert double.dtype == torch.float64
        assert (double - single).abs().max() < 1e-4 * double.abs().max()

    @every_surface
    def test_half_precision_is_near_single(self, surface):
        model, x = self.model(surface).eval(), self.inputs(surface)
        with torch.no_grad():
            single = model(*x)
            half = model.bfloat16()(*in_dtype(x, torch.bfloat16))
        assert half.dtype == torch.bfloat16
        error = (half.float() - single).square().mean().sqrt()
        assert error < 0.05 * single.square().mean().sqrt()

    @compiled_surfaces
    def test_compiled_model_gives_the_same(self, surface):
        self.compare_with_compiled(surface, "aot_eager")

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's compiler of its own older compiler
    @pytest.mark.parametrize("surface", [Equirectangular(), Icosphere(2)], ids=str)
    def test_model_compiled_by_inductor_gives_the_same(self, surface):
        self.compare_with_compiled(surface, "inductor")

    @compiled_surfaces
    def test_exported_model_takes_any_batch_size(self, surface):
        model = self.model(surface).eval()
        inputs, batch = self.inputs(surface), torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(model, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs)).module()
        with torch.no_grad():
            for size in (1, 3):
                x = self.inputs(surface, size)
                assert_close(program(*x), model(*x))

    def compare_with_compiled(self, surface, backend):
        torch._dynamo.reset()
        eager, x = self.model(surface), self.inputs(surface)
        compiled = torch.compile(copy.deepcopy(eager), fullgraph=True, backend=backend)
        assert_close(compiled(*x), eager(*x))
        for one, other in zip(gradients(compiled, x).values(), gradients(eager, x).values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)  # sums in another order
