"""A converted network is the network that it was: weights, state and classes; and it is flat again on demand."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from networks import SEAMLESS, DeepLabLike, EveryLayer, UNetLike
from torch import nn
from torch.utils.checkpoint import checkpoint
from turning import lively, picture, turn_error

import omniconv as oc


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
    return lively(Tiny())


@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_reverted_network_is_the_flat_one(kind):
    network, x = lively(kind()), picture(height=32, width=64)
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
    assert torch.equal(*(y["out"] if isinstance(y, dict) else y for y in (before, after)))


def test_to_revert_what_is_flat_changes_nothing():
    network = tiny()
    assert type(oc.convert.revert(network)) is Tiny


def test_copy_leaves_the_original_alone():
    flat, x = tiny(), picture()
    before = flat(x)
    network = oc.convert.to_equirectangular(flat, copy=True)
    assert network is not flat
    assert type(flat) is Tiny
    assert torch.equal(flat(x), before)
    assert not {id(p) for p in flat.parameters()} & {id(p) for p in network.parameters()}


def test_converting_again_and_in_part_changes_nothing():
    network, x = oc.convert.to_equirectangular(tiny()), picture()
    y = network(x)
    oc.convert.to_equirectangular(network.first)
    oc.convert.to_equirectangular(network)
    assert torch.equal(network(x), y)
    whole = nn.Sequential(network, nn.Conv2d(2, 2, 3, padding=1).double())
    assert turn_error(oc.convert.to_equirectangular(whole), x, 1) < 1e-10
    assert type(oc.convert.revert(whole)[0]) is Tiny


def test_poles_can_be_chosen_anew():
    network, x = oc.convert.to_equirectangular(tiny()), picture()
    over = network(x)
    zeros = oc.convert.to_equirectangular(network, poles="zeros")(x)
    assert torch.equal(over[:, :, 2:-2], zeros[:, :, 2:-2])
    assert not torch.equal(over, zeros)


def test_every_part_can_be_called():
    network, x = oc.convert.to_equirectangular(tiny()), picture()
    torch.testing.assert_close(network.encode(x.roll(1, -1)), network.encode(x).roll(1, -1))
    torch.testing.assert_close(network.first(x.roll(1, -1)), network.first(x).roll(1, -1))


def test_names_are_printed_and_kept():
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
def test_copies_stay_converted_and_revert_alone(again, convert):
    network, x = convert(tiny()), picture()
    y = network(x)
    twin = again(network)
    assert torch.equal(twin(x), y)
    oc.convert.revert(twin)
    assert type(twin) is Tiny
    assert torch.equal(network(x), y)


@pytest.mark.parametrize("again", [copy.deepcopy, pickled])
def test_traced_graphs_and_their_copies_are_converted(again):
    """They are classes of their own, copied and pickled in ways of their own."""
    graph, x = torch.fx.symbolic_trace(lively(UNetLike())), picture(height=32, width=64)
    network, report = oc.convert.to_equirectangular(graph, report=True, size=(32, 64))
    assert not any(found.seam for found in report)
    twin = again(network)
    assert torch.equal(twin(x), network(x))
    assert turn_error(twin, x, 4) < 1e-10
    assert turn_error(oc.convert.revert(twin), x, 4) > 1e-3
    assert turn_error(network, x, 4) < 1e-10


def test_parametrized_weights_stay_so():
    norm = torch.nn.utils.parametrizations.weight_norm
    network = oc.convert.to_equirectangular(nn.Sequential(norm(nn.Conv2d(3, 4, 3, padding=1))).double())
    assert turn_error(copy.deepcopy(network), picture(), 5) < 1e-10
    assert torch.nn.utils.parametrize.is_parametrized(oc.convert.revert(network)[0])


def test_checkpoints_load_either_way():
    flat, x = tiny(), picture()
    network = oc.convert.to_equirectangular(Tiny().double().eval())
    network.load_state_dict(flat.state_dict())
    assert torch.equal(network(x), oc.convert.to_equirectangular(copy.deepcopy(flat))(x))
    Tiny().load_state_dict(network.state_dict())


def test_it_moves_and_changes_precision():
    network, x = oc.convert.to_equirectangular(tiny()), picture()
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
    oc.convert.to_equirectangular(network)(picture())
    assert seen == [(2, 4, 16, 32)]


@pytest.mark.parametrize("kind", [UNetLike, DeepLabLike, EveryLayer])
def test_gradients_are_those_of_the_weights_and_turn(kind):
    torch.manual_seed(0)
    network = oc.convert.to_equirectangular(lively(kind()))
    target = picture(1)[:1, :, :1, :1]
    results = []
    for turn in (0, 8):
        x = picture(height=32, width=64).roll(turn, -1).requires_grad_()
        y = network(x)
        y = y["out"] if isinstance(y, dict) else y
        results.append(torch.autograd.grad((y * target).square().mean(), [x, *network.parameters()]))
    (of_x, *of_weights), (of_turned, *of_turned_weights) = results
    torch.testing.assert_close(of_x.roll(8, -1), of_turned, rtol=1e-8, atol=1e-12)
    for one, other in zip(of_weights, of_turned_weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)
    assert sum(float(gradient.abs().sum()) > 0 for gradient in of_weights) > len(of_weights) // 2


def test_gradients_are_exact():
    network = oc.convert.to_equirectangular(
        nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 4, 2, 1), nn.AvgPool2d(3, 1, 1)).double()
    )
    assert torch.autograd.gradcheck(network, picture(1, 4, 8, 1).requires_grad_())


def test_it_learns_and_the_flat_network_has_learnt():
    network = oc.convert.to_equirectangular(tiny().train())
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    x = picture()
    target, losses = x[:, :2].roll(1, -1), []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append((network(x) - target).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert int(network.norm.num_batches_tracked) == 30
    learnt = {name: value.clone() for name, value in network.state_dict().items()}
    assert all(torch.equal(value, learnt[name]) for name, value in oc.convert.revert(network).state_dict().items())


@pytest.mark.parametrize("reentrant", [True, False])
def test_activations_that_are_computed_again_are_those_of_the_panorama(reentrant):
    class Checkpointed(Tiny):
        def forward(self, x):
            return self.last(F.pad(checkpoint(self.first, x, use_reentrant=reentrant), (1, 1, 1, 1)))

    network = oc.convert.to_equirectangular(lively(Checkpointed()))
    x = picture().requires_grad_()
    network(x).square().sum().backward()
    again = [x.grad, network.first.weight.grad]
    ring = oc.convert.to_equirectangular(nn.Sequential(network.first, nn.ZeroPad2d(1), network.last))
    once = torch.autograd.grad(ring(x).square().sum(), [x, network.first.weight])
    for one, other in zip(again, once, strict=True):
        torch.testing.assert_close(one, other)


def test_it_runs_with_other_weights():
    network, x = oc.convert.to_equirectangular(tiny()), picture()
    doubled = {name: 2 * value if value.is_floating_point() else value for name, value in network.state_dict().items()}
    y = torch.func.functional_call(network, doubled, (x,))
    network.load_state_dict(doubled)
    torch.testing.assert_close(y, network(x))


class Sliced(nn.Module):
    """Runs its layers in two slices, as readers of features do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, x):
        return self.layers[2:](self.layers[:2](x))


@pytest.mark.parametrize("way", [lambda part: part, copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_slices_of_a_converted_network_are_converted(way):
    network, x = oc.convert.to_equirectangular(Sliced().double()), picture()
    assert turn_error(network, x, 3) < 1e-13
    assert torch.equal(network.layers[2:](way(network.layers[:2])(x)), network(x))
    assert "EquirectangularConv2d" in repr(way(network.layers[:2]))
    flat = type(network.layers[0])(3, 3, 3).double()
    assert torch.equal(flat(x), F.conv2d(x, flat.weight, flat.bias))
    assert type(oc.convert.revert(network)) is Sliced
