"""Conversion keeps weights, state, classes and hooks, survives copies, and can be reverted."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from flat_networks import SEAMLESS, DeepLabLike, EveryLayer, UNetLike
from roll_equivariance import noise_image, randomized, roll_error
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import omniconv as oc
from omniconv.errors import InputError


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)

    def encode(self, x):
        return self.norm(self.first(x))

    def forward(self, x):
        return self.last(F.pad(self.encode(x).relu(), (1, 1, 1, 1)))


def tiny():
    torch.manual_seed(0)
    return randomized(Tiny())


@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_revert_restores_the_flat_network(kind):
    network, x = randomized(kind()), noise_image(height=32, width=64)
    before, classes = network(x), [type(module) for module in network.modules()]
    keys, parameters = list(network.state_dict()), [id(p) for p in network.parameters()]
    names = set(vars(network))
    assert oc.convert.to_equirectangular(network) is network
    assert list(network.state_dict()) == keys
    assert [id(p) for p in network.parameters()] == parameters
    assert all(isinstance(module, flat) for module, flat in zip(network.modules(), classes, strict=True))
    assert oc.convert.revert(network) is network
    assert [type(module) for module in network.modules()] == classes
    assert set(vars(network)) == names
    after = network(x)
    torch.testing.assert_close(*(y["out"] if isinstance(y, dict) else y for y in (before, after)))


def test_revert_of_a_flat_network_changes_nothing():
    network = tiny()
    assert type(oc.convert.revert(network)) is Tiny


def test_copy_does_not_change_the_original():
    flat, x = tiny(), noise_image()
    before = flat(x)
    network = oc.convert.to_equirectangular(flat, copy=True)
    assert network is not flat
    assert type(flat) is Tiny
    torch.testing.assert_close(flat(x), before)
    assert not {id(p) for p in flat.parameters()} & {id(p) for p in network.parameters()}


def test_converting_again_and_in_part_changes_nothing():
    network, x = oc.convert.to_equirectangular(tiny()), noise_image()
    y = network(x)
    oc.convert.to_equirectangular(network.first)
    oc.convert.to_equirectangular(network)
    torch.testing.assert_close(network(x), y)
    joined = nn.Sequential(network, nn.Conv2d(2, 2, 3, padding=1).double())
    assert roll_error(oc.convert.to_equirectangular(joined), x, 1) < 1e-10
    assert type(oc.convert.revert(joined)[0]) is Tiny


def test_converting_again_can_change_the_poles():
    network, x = oc.convert.to_equirectangular(tiny(), poles="over"), noise_image()
    over = network(x)
    zeros = oc.convert.to_equirectangular(network, poles="zeros")(x)
    torch.testing.assert_close(over[:, :, 2:-2], zeros[:, :, 2:-2], rtol=1e-12, atol=1e-13)
    assert (over - zeros).abs().max() > 1e-3


def test_methods_and_submodules_are_converted_too():
    network, x = oc.convert.to_equirectangular(tiny()), noise_image()
    torch.testing.assert_close(network.encode(x.roll(1, -1)), network.encode(x).roll(1, -1))
    torch.testing.assert_close(network.first(x.roll(1, -1)), network.first(x).roll(1, -1))


def test_repr_shows_the_conversion_and_class_names_stay():
    network = oc.convert.to_equirectangular(tiny())
    assert repr(network).startswith("EquirectangularTiny(\n  (first): EquirectangularConv2d(3, 4")
    assert type(network).__name__ == "Tiny"


def pickled(network):
    return pickle.loads(pickle.dumps(network))


def saved(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("convert", [oc.convert.to_equirectangular, lambda model: oc.convert.to_tangent(model, 16)])
@pytest.mark.parametrize("again", [copy.deepcopy, pickled, saved])
def test_copies_stay_converted_and_revert_independently(again, convert):
    network, x = convert(tiny()), noise_image()
    y = network(x)
    twin = again(network)
    torch.testing.assert_close(twin(x), y)
    oc.convert.revert(twin)
    assert type(twin) is Tiny
    torch.testing.assert_close(network(x), y)


@pytest.mark.parametrize("again", [copy.deepcopy, pickled])
def test_fx_graphs_and_their_copies_are_converted(again):
    """torch.fx gives each graph a class of its own, with its own __deepcopy__ and __reduce__."""
    graph, x = torch.fx.symbolic_trace(randomized(UNetLike())), noise_image(height=32, width=64)
    network, report = oc.convert.to_equirectangular(graph, report=True, size=(32, 64))
    assert not any(found.seam for found in report)
    twin = again(network)
    torch.testing.assert_close(twin(x), network(x))
    assert roll_error(twin, x, 4) < 1e-10
    assert roll_error(oc.convert.revert(twin), x, 4) > 1e-3
    assert roll_error(network, x, 4) < 1e-10


def test_parametrized_weights_stay_parametrized():
    norm = torch.nn.utils.parametrizations.weight_norm
    network = oc.convert.to_equirectangular(nn.Sequential(norm(nn.Conv2d(3, 4, 3, padding=1))).double())
    assert roll_error(copy.deepcopy(network), noise_image(), 5) < 1e-10
    assert torch.nn.utils.parametrize.is_parametrized(oc.convert.revert(network)[0])


OLD_NORMS = {
    "weight_norm": torch.nn.utils.weight_norm,
    "spectral_norm": torch.nn.utils.spectral_norm,
    "prune": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", OLD_NORMS.values(), ids=list(OLD_NORMS))
@pytest.mark.parametrize("option", ["copy", "report"])
def test_networks_whose_hooks_leave_computed_tensors_are_refused_where_they_are_copied(option, norm):
    flat, x = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)).eval(), noise_image(dtype=torch.float32)
    norm(flat[0])
    y = flat(x)
    cure = {"copy": "use copy=False", "report": "leave out report=True"}[option]
    with pytest.raises(InputError, match=f"cannot be copied: 0.weight is a computed tensor.*parametrizations.*{cure}"):
        oc.convert.to_equirectangular(flat, **{option: True})
    torch.testing.assert_close(flat(x), y)
    network = oc.convert.to_equirectangular(flat)
    assert roll_error(network, x, 3) < 1e-5


def test_state_dicts_load_in_both_directions():
    flat, x = tiny(), noise_image()
    network = oc.convert.to_equirectangular(Tiny().double().eval())
    network.load_state_dict(flat.state_dict())
    torch.testing.assert_close(network(x), oc.convert.to_equirectangular(copy.deepcopy(flat))(x))
    Tiny().load_state_dict(network.state_dict())


def test_converted_network_changes_dtype_and_device():
    network, x = oc.convert.to_equirectangular(tiny()), noise_image()
    y = network(x)
    network.to(torch.float32)
    torch.testing.assert_close(network(x.float()), y.float())
    network.to(torch.bfloat16)
    assert network(x.bfloat16()).dtype == torch.bfloat16
    assert network.to("meta")(x.bfloat16().to("meta")).shape == y.shape


def test_signatures_stay():
    network = tiny()
    before = inspect.signature(network.forward)
    assert inspect.signature(oc.convert.to_equirectangular(network).forward) == before


def test_hooks_stay():
    network, seen = tiny(), []
    network.first.register_forward_hook(lambda module, inputs, result: seen.append(tuple(result.shape)))
    oc.convert.to_equirectangular(network)(noise_image())
    assert seen == [(2, 4, 16, 32)]


@pytest.mark.parametrize("kind", [UNetLike, DeepLabLike, EveryLayer])
def test_gradients_are_equivariant(kind):
    torch.manual_seed(0)
    network = oc.convert.to_equirectangular(randomized(kind()))
    target = noise_image(1)[:1, :, :1, :1]
    results = []
    for shift in (0, 8):
        x = noise_image(height=32, width=64).roll(shift, -1).requires_grad_()
        y = network(x)
        y = y["out"] if isinstance(y, dict) else y
        results.append(torch.autograd.grad((y * target).square().mean(), [x, *network.parameters()]))
    (of_x, *of_weights), (of_rolled, *of_weights_rolled) = results
    torch.testing.assert_close(of_x.roll(8, -1), of_rolled, rtol=1e-8, atol=1e-12)
    for one, other in zip(of_weights, of_weights_rolled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)
    assert sum(float(gradient.abs().sum()) > 0 for gradient in of_weights) > len(of_weights) // 2


def test_gradcheck():
    network = oc.convert.to_equirectangular(
        nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 4, 2, 1), nn.AvgPool2d(3, 1, 1)).double()
    )
    assert torch.autograd.gradcheck(network, noise_image(1, 4, 8, 1).requires_grad_())


def test_training_changes_the_weights_of_the_flat_network():
    network = oc.convert.to_equirectangular(tiny().train())
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    x = noise_image()
    target, losses = x[:, :2].roll(1, -1), []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append((network(x) - target).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert int(network.norm.num_batches_tracked) == 30
    trained = {name: value.clone() for name, value in network.state_dict().items()}
    assert all(torch.equal(value, trained[name]) for name, value in oc.convert.revert(network).state_dict().items())


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_recomputes_converted_modules(reentrant):
    class Checkpointed(Tiny):
        def forward(self, x):
            return self.last(F.pad(checkpoint(self.first, x, use_reentrant=reentrant), (1, 1, 1, 1)))

    network = oc.convert.to_equirectangular(randomized(Checkpointed()))
    x = noise_image().requires_grad_()
    network(x).square().sum().backward()
    again = [x.grad, network.first.weight.grad]
    reference = oc.convert.to_equirectangular(nn.Sequential(network.first, nn.ZeroPad2d(1), network.last))
    once = torch.autograd.grad(reference(x).square().sum(), [x, network.first.weight])
    for one, other in zip(again, once, strict=True):
        torch.testing.assert_close(one, other)


def test_functional_call_with_other_weights():
    network, x = oc.convert.to_equirectangular(tiny()), noise_image()
    doubled = {name: 2 * value if value.is_floating_point() else value for name, value in network.state_dict().items()}
    y = torch.func.functional_call(network, doubled, (x,))
    network.load_state_dict(doubled)
    torch.testing.assert_close(y, network(x))


class Sliced(nn.Module):
    """Runs its layers in two slices, as feature extractors do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, x):
        return self.layers[2:](self.layers[:2](x))


@pytest.mark.parametrize("copied", [lambda part: part, copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_slices_of_a_converted_network_are_converted(copied):
    network, x = oc.convert.to_equirectangular(Sliced().double()), noise_image()
    assert roll_error(network, x, 3) < 1e-13
    torch.testing.assert_close(network.layers[2:](copied(network.layers[:2])(x)), network(x))
    assert "EquirectangularConv2d" in repr(copied(network.layers[:2]))
    flat = type(network.layers[0])(3, 3, 3).double()
    torch.testing.assert_close(flat(x), F.conv2d(x, flat.weight, flat.bias))
    assert type(oc.convert.revert(network)) is Sliced


METHODS = [name for name in dir(nn.Module) if not name.startswith("_") and callable(getattr(nn.Module, name))]


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"forward"}))
def test_attributes_may_have_the_names_of_module_methods(name):
    """A network that hides ``modules``, ``children`` or ``to`` is converted, reported and reverted as any other."""

    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
            self.__dict__[name] = [3]
            self.inner.__dict__[name] = [3]

        def forward(self, x):
            return self.inner(x)

    flat = Hiding()
    network, report = oc.convert.to_equirectangular(flat, report=True, size=(8, 16))
    assert not report.seams
    assert network.inner[0]._get_name() == "EquirectangularConv2d"
    x = torch.rand(1, 3, 8, 16)
    assert oc.convert.to_tangent(flat, 8)(x).shape == (1, 4, 8, 16)
    assert oc.convert.revert(network).inner[0].__class__ is nn.Conv2d
    assert getattr(flat, name) == [3]
