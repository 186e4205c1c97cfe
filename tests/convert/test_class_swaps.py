"""Conversion, parametrizations and FSDP, which all swap the classes of modules, in every order."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from torch import distributed, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

import omniconv as oc

X = torch.rand(1, 3, 8, 16, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        return self.last(F.pad(self.first(x).relu(), (1, 1, 1, 1)))


class Scaled(nn.Module):
    """Parametrization of one's own."""

    def forward(self, weight):
        return 1.5 * weight


def scaled(layer):
    parametrize.register_parametrization(layer, "weight", Scaled())
    parametrize.register_parametrization(layer, "bias", Scaled())


def fold(network):
    for name in list(network.first.parametrizations):
        parametrize.remove_parametrizations(network.first, name)


def flat_twin(network):
    """Return a flat network with the weights that the layers use."""
    twin = Network().eval()
    with torch.no_grad():
        for layer, other in ((twin.first, network.first), (twin.last, network.last)):
            layer.weight.copy_(other.weight)
            layer.bias.copy_(other.bias)
    return twin


CONVERSIONS = {
    "equirectangular": oc.convert.to_equirectangular,
    "tangent": lambda model: oc.convert.to_tangent(model, 8),
}
STEPS = ("convert", "parametrize", "revert", "fold", "copy")


def is_possible(order):
    return {"convert", "parametrize"} <= {*order} and "fold" not in order[: order.index("parametrize")]


ORDERS = [order for length in (2, 3, 4) for order in filter(is_possible, itertools.permutations(STEPS, length))]


@torch.no_grad()
def check_order(order, convert, register):
    torch.manual_seed(0)
    network, is_converted, is_parametrized = Network().eval(), False, False
    for step in order:
        if step == "convert":
            assert convert(network) is network
            is_converted = True
        elif step == "revert":
            oc.convert.revert(network)
            is_converted = False
        elif step == "copy":
            network = copy.deepcopy(network)
        elif step == "parametrize":
            register(network.first)
            is_parametrized = True
        else:
            fold(network)
            is_parametrized = False
        assert isinstance(network, Network)
        assert isinstance(network.first, nn.Conv2d)
        assert parametrize.is_parametrized(network.first) == is_parametrized
        assert repr(network).startswith("Network") != is_converted
        twin = flat_twin(network)
        torch.testing.assert_close(network(X), (convert(twin) if is_converted else twin)(X))
    if not is_converted and not is_parametrized:
        assert (type(network), type(network.first)) == (Network, nn.Conv2d)


@pytest.mark.parametrize("register", [weight_norm, scaled])
def test_parametrizing_converting_reverting_folding_and_copying_in_every_order(register):
    for order in ORDERS:
        check_order(order, CONVERSIONS["equirectangular"], register)


@pytest.mark.parametrize("register", [spectral_norm, orthogonal])
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_orders_of_three_steps(convert, register):
    for order in ORDERS:
        if len(order) == 3:
            check_order(order, convert, register)


@pytest.fixture(scope="module")
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("register", [None, weight_norm])
@pytest.mark.parametrize(
    "order", [order for length in (2, 3) for order in itertools.permutations(["convert", "shard", "revert"], length)]
)
@torch.no_grad()
def test_fully_sharded_networks_stay_sharded(order, register):
    torch.manual_seed(0)
    network = Network().eval()
    if register:
        register(network.first)
    flat, converted = flat_twin(network), oc.convert.to_equirectangular(flat_twin(network))
    is_converted = is_sharded = False
    for step in order:
        if step == "convert":
            oc.convert.to_equirectangular(network)
            is_converted = True
        elif step == "revert":
            oc.convert.revert(network)
            is_converted = False
        else:
            fully_shard(network.first)
            fully_shard(network)
            is_sharded = True
        torch.testing.assert_close(network(X), (converted if is_converted else flat)(X))
        assert all(isinstance(part, FSDPModule) == is_sharded for part in (network, network.first))
        assert isinstance(network, Network)
        assert isinstance(network.first, nn.Conv2d)


@pytest.mark.usefixtures("process_group")
def test_ddp_wraps_a_converted_parametrized_network():
    network = oc.convert.to_equirectangular(Network())
    weight_norm(network.first)
    wrapped = nn.parallel.DistributedDataParallel(network)
    torch.testing.assert_close(wrapped(X), network(X))
    wrapped(X).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    oc.convert.revert(wrapped)
    torch.testing.assert_close(wrapped(X), flat_twin(network)(X))


@pytest.mark.parametrize("parametrize_first", [True, False])
def test_compiled_networks_follow_the_conversion(parametrize_first):
    torch.manual_seed(0)
    network = Network().eval()
    if parametrize_first:
        weight_norm(network.first)
    oc.convert.to_equirectangular(network)
    if not parametrize_first:
        weight_norm(network.first)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), network(X))
    oc.convert.revert(network)
    torch.testing.assert_close(compiled(X), flat_twin(network)(X))


def test_copies_of_a_parametrized_network_revert_and_fold_on_their_own():
    network = oc.convert.to_equirectangular(Network())
    weight_norm(network.first)
    y = network(X)
    fold(oc.convert.revert(copy.deepcopy(network)))
    torch.testing.assert_close(network(X), y)


def test_pickling_a_parametrized_network_is_refused_as_by_torch():
    network = oc.convert.to_equirectangular(Network())
    weight_norm(network.first)
    with pytest.raises(RuntimeError, match="Serialization of parametrized modules is only"):
        copy.copy(network.first)


def test_unknown_class_above_a_conversion_stays_and_runs_flat():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    y = layer(X)
    oc.convert.to_equirectangular(layer)

    class Swapped(type(layer)):
        def forward(self, x):
            return 2 * super().forward(x)

    layer.__class__ = Swapped
    oc.convert.revert(layer)
    assert type(layer) is Swapped
    torch.testing.assert_close(layer(X), 2 * y)
    assert repr(layer).startswith("Swapped(3, 4")


def test_graph_whose_code_is_written_again_stays_converted():
    graph = oc.convert.to_equirectangular(torch.fx.symbolic_trace(Network()))
    y = graph(X)
    graph.graph.lint()
    graph.recompile()
    torch.testing.assert_close(graph(X), y)
    oc.convert.revert(graph)
    torch.testing.assert_close(graph(X), flat_twin(graph)(X))
