"""Tables derived from a surface are right however a network is built, moved, copied, stored or called."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from omniconv.models import Classifier, UNet
from omniconv.nn import (
    AvgPool,
    Conv,
    ConvTranspose,
    CoordConv,
    Downsample,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    MaxUnpool,
    Resample,
    Upsample,
)
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere

SURFACES = (
    Icosphere(1), Icosahedron(1), Healpix(2), Cubemap(4),
    Equirectangular(height=4, kernels="tangent"), Equirectangular(height=4, kernels="rows"),
)  # fmt: skip


class Layers(nn.Module):
    """Every layer with tables on one surface, one after the other."""

    def __init__(self, surface):
        super().__init__()
        self.same = nn.Sequential(
            CoordConv(2, 4, radius=True, surface=surface), Conv(4, 4, groups=2, surface=surface),
            Conv(4, 2, 1, surface=surface),
        )  # fmt: skip
        self.down = nn.ModuleList(
            [Conv(2, 2, stride=2, surface=surface), AvgPool(surface=surface), LpPool(surface=surface),
             Downsample(surface=surface), Downsample(mode="nearest", surface=surface)]
        )  # fmt: skip
        coarse = surface.coarser()
        self.pool = MaxPool(return_switches=True, surface=surface)
        self.unpool = MaxUnpool(surface=coarse)
        self.up = nn.ModuleList([ConvTranspose(2, 2, surface=coarse), Upsample(surface=coarse)])
        self.mean = GlobalAvgPool(surface)
        size = {} if surface.any_size else {"source_shape": surface.shape}
        self.resample = Resample(surface, Icosphere(0), **size)

    def forward(self, x):
        x = self.same(x)
        pooled, switches = self.pool(x)
        y = sum((layer(x) for layer in self.down), pooled)
        x = sum((layer(y) for layer in self.up), self.unpool(pooled, switches))
        return torch.cat([self.resample(x).flatten(1), self.mean(x)], 1)


def built_on_meta(build, source):
    with torch.device("meta"):
        network = build()
    tables = [module for module in network.modules() if isinstance(module, TableModule)]
    assert not any(module._loaded for module in tables)
    network = network.to_empty(device="cpu")
    network.load_state_dict(source.state_dict())
    return network


def assigned_to_meta(build, source):
    with torch.device("meta"):
        network = build()
    network.load_state_dict(source.state_dict(), assign=True)
    return network


def there_and_back(build, source):
    network = copy.deepcopy(source).to("meta").to_empty(device="cpu")
    network.load_state_dict(source.state_dict())
    return network


def saved(build, source):
    file = io.BytesIO()
    torch.save(source, file)
    file.seek(0)
    return torch.load(file, weights_only=False, map_location="cpu")


def called_functionally(build, source):
    skeleton = copy.deepcopy(source).to("meta")
    tensors = dict(source.named_parameters()) | dict(source.named_buffers())
    return lambda x: torch.func.functional_call(skeleton, tensors, (x,))


def one_of_an_ensemble(build, source):
    members = [copy.deepcopy(source) for _ in range(2)]
    parameters, buffers = torch.func.stack_module_state(members)
    skeleton = copy.deepcopy(source).to("meta")

    def member(own, shared, x):
        return torch.func.functional_call(skeleton, (own, shared), (x,))

    return lambda x: torch.vmap(member, (0, 0, None))(parameters, buffers, x)[1]


WAYS = (
    built_on_meta, assigned_to_meta, there_and_back, saved, called_functionally, one_of_an_ensemble,
    lambda build, source: copy.deepcopy(source), lambda build, source: copy.copy(source),
    lambda build, source: pickle.loads(pickle.dumps(source)),
    lambda build, source: copy.deepcopy(source).share_memory(),
    lambda build, source: copy.deepcopy(source).double().half().float(),
)  # fmt: skip
EXACT = {"rtol": 1e-5, "atol": 1e-5}
TOLERANCES = {WAYS[-1]: {"rtol": 1e-2, "atol": 1e-2}}  # its weights are rounded to float16
NAMES = [way.__name__ for way in WAYS[:6]] + ["deepcopy", "copy", "pickle", "share_memory", "dtypes"]


def signal(surface, dtype=torch.float32):
    return torch.rand(2, 2, *surface.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.fixture(scope="module", params=SURFACES, ids=str)
def case(request):
    torch.manual_seed(0)
    return request.param, Layers(request.param).eval()


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's vmap of nearest resizing
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_every_layer_computes_the_same(case, way):
    surface, source = case
    x = signal(surface)
    with torch.no_grad():
        network = way(lambda: Layers(surface), source)
        torch.testing.assert_close(network(x), source(x), **TOLERANCES.get(way, EXACT))


def test_compiled_after_meta(case):
    surface, source = case
    torch._dynamo.reset()
    network = built_on_meta(lambda: Layers(surface), source).eval()
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(signal(surface)), source(signal(surface)))


def test_float64_signals_get_exact_tables(case):
    surface, source = case
    pool, x = source.down[1], signal(surface, torch.float64)
    torch.testing.assert_close(pool(x), copy.deepcopy(pool).double()(x), rtol=0, atol=0)


def test_fake_tensors_leave_no_fake_tables(case):
    surface, source = case
    with FakeTensorMode(), torch.no_grad():
        found = Layers(surface).eval()(torch.empty(2, 2, *surface.shape))
    assert found.shape == source(signal(surface)).shape
    built = Layers(surface).eval()
    built.load_state_dict(source.state_dict())
    torch.testing.assert_close(built(signal(surface)), source(signal(surface)))


def test_tables_are_no_state(case):
    _, source = case
    assert not dict(source.named_buffers())
    assert set(source.state_dict()) == set(dict(source.named_parameters()))


def test_copies_share_their_tables_and_pickles_hold_none():
    layer = Conv(2, 2, surface=Icosphere(4))
    assert copy.deepcopy(layer).op.own_table("operators") is layer.op.own_table("operators")
    assert Conv(2, 2, stride=2, surface=Icosphere(4)).op.own_table("operators") is (
        pickle.loads(pickle.dumps(Conv(2, 2, stride=2, surface=Icosphere(4)))).op.own_table("operators")
    )
    assert len(pickle.dumps(layer)) < 10_000


def test_threads_share_tables():
    stencil = Healpix(4).conv_neighbours(3, 2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: Conv(1, 1, stride=2, surface=Healpix(4)).op, range(8)))
    assert len({id(op.own_table("operators")) for op in found}) == 1
    assert found[0].stencil == stencil


@pytest.mark.parametrize("model", [UNet, Classifier])
@pytest.mark.parametrize("surface", ["icosphere:9", "healpix:1024", "icosahedron:8"])
def test_large_networks_on_meta_compute_no_table(model, surface, monkeypatch):
    import omniconv as oc
    from omniconv.surfaces.neighbours.stencil import Stencil

    def refuse(self):
        raise AssertionError("computed the operators of a stencil")

    monkeypatch.setattr(Stencil, "__post_init__", refuse)
    with torch.device("meta"):
        model(3, 2, oc.surface(surface), width=2, depth=3)


def test_sharded_network_built_on_meta(tmp_path):
    """``fully_shard`` moves parameters and buffers itself, without ``Module._apply``."""
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    surface = Icosphere(1)
    source = Layers(surface).eval()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
        with torch.device("meta"):
            network = Layers(surface)
        fully_shard(network, mesh=mesh)
        network.to_empty(device="cpu").eval()
        with torch.no_grad():
            for own, given in zip(network.parameters(), source.parameters(), strict=True):
                own.to_local().copy_(given)
            torch.testing.assert_close(network(signal(surface)), source(signal(surface)))
    finally:
        dist.destroy_process_group()
