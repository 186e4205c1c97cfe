"""Networks that cannot be rebuilt from their arguments are refused by ``save``, and files by the header alone."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import omniconv as oc
from omniconv.errors import FileError, InputError
from omniconv.models import MODELS, Classifier, Model, UNet, register_model
from omniconv.models.storage.rebuilding import check_tensors, expected_tensors
from omniconv.surfaces import Plane, surface


def unet(**options):
    return UNet(1, 2, width=2, depth=1, **options)


def _spectral_norm(model):
    nn.utils.spectral_norm(model.head[0])


def _weight_norm(model):
    nn.utils.weight_norm(model.head[0])


def _prune(model):
    prune.l1_unstructured(model.head[0], "weight", 0.5)


def _new_parametrization(model):
    parametrizations.weight_norm(model.head[0])


def _new_spectral_norm(model):
    parametrizations.spectral_norm(model.encoder.stages[0][0][0])


def _replace_head(model):
    model.head = nn.Conv2d(2, 5, 1)


def _head_of_another_size(model):
    model.head[0] = oc.nn.Conv(2, 5, 1)


def _group_norm(model):
    model.encoder.stages[0][0][1] = nn.GroupNorm(1, 2)


def _sync_batch_norm(model):
    nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _add_dropout(model):
    model.head.append(nn.Dropout())


def _remove_activation(model):
    del model.encoder.stages[0][0][2]


def _low_rank(model):
    model.head[0].low_rank = nn.Parameter(torch.zeros(2, 1))


def _add_buffer(model):
    model.register_buffer("shift", torch.zeros(1))


def _remove_bias(model):
    model.head[0].bias = None


def _stride(model):
    model.head[0].stride = 2


def _eps(model):
    model.encoder.stages[0][0][1].eps = 1e-3


def _slope(model):
    model.encoder.stages[0][0][2] = nn.ReLU6()


def _forward(model):
    model.head.forward = lambda x: x


def _tie(model):
    model.encoder.stages[0][0][1].bias = model.encoder.stages[0][0][1].weight


def _half_of_it(model):
    model.head.half()


def _arguments(model):
    model.arguments["colour"] = "red"


def _fewer_arguments(model):
    del model.arguments["width"]


def _surface(model):
    model.surface = Plane(border="circular")


def _channels(model):
    model.head[0].weight = nn.Parameter(torch.zeros(2, 2, 1, 1, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("change", "rule", "cure"),
    [
        (_weight_norm, "head.0.weight_g was added", "fold it by torch.nn.utils.remove_weight_norm"),
        (_spectral_norm, "head.0.weight_orig was added", "remove_spectral_norm"),
        (_prune, "head.0.weight_orig was added", "fold it by torch.nn.utils.prune.remove"),
        (_new_parametrization, "head.0.parametrizations.weight.original0 was added", "remove_parametrizations"),
        (_new_spectral_norm, "parametrizations.weight.original was added", "remove_parametrizations"),
        (_replace_head, "head.weight was added", "derive a class"),
        (_head_of_another_size, "head.0.out_channels was changed from 2 to 5", "derive"),
        (_group_norm, "encoder.stages.0.0.1 is a GroupNorm, where its arguments give a BatchNorm2d", "derive"),
        (_sync_batch_norm, "encoder.stages.0.0.1 is a SyncBatchNorm", "derive a class"),
        (_add_dropout, "the layer head.1 was added", "derive a class"),
        (_remove_activation, r"the layer encoder.stages.0.0.2 was removed", "derive a class"),
        (_low_rank, "head.0.low_rank was added", "derive a class"),
        (_add_buffer, "shift was added", "derive a class"),
        (_remove_bias, "head.0.bias was removed", "derive a class"),
        (_stride, "head.0.stride was changed from 1 to 2", "derive a class"),
        (_eps, "encoder.stages.0.0.1.eps was changed from 1e-05 to 0.001", "derive a class"),
        (_slope, "encoder.stages.0.0.2 is a ReLU6, where its arguments give a ReLU", "derive a class"),
        (_forward, "head.forward was replaced", "derive a class"),
        (_tie, "layers share their parameters", "derive a class"),
        (_half_of_it, r"head.0.weight is float16 \(2, 2, 1, 1\), not float32", "convert it to one dtype"),
        (_arguments, "its arguments do not rebuild it .*colour", "leave model.arguments as the constructor recorded"),
        (_fewer_arguments, "its arguments .* are .* after rebuilding it", "leave model.arguments as"),
        (_surface, "surface was changed from Plane", "derive a class"),
        (_channels, "head.0.weight has the dtype torch.complex64", "convert it"),
        (lambda model: model.to("meta"), "is on the meta device", "load its weights first"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's own weight_norm and spectral_norm are deprecated
def test_changed_networks_are_not_saved(tmp_path, change, rule, cure):
    model = unet()
    change(model)
    with pytest.raises(InputError, match=rf"^model='unet': cannot be saved: .*({rule}).*; .*{cure}") as caught:
        oc.save(model, tmp_path / "a")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_torch_folds_can_be_saved(tmp_path):
    model = unet()
    for layer, undo in ((model.head[0], nn.utils.parametrize.remove_parametrizations),
                        (model.encoder.stages[0][0][0], prune.remove)):  # fmt: skip
        if undo is prune.remove:
            prune.l1_unstructured(layer, "weight", 0.5)
        else:
            parametrizations.weight_norm(layer)
        undo(layer, "weight")
    oc.save(model, tmp_path / "a")
    x = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(oc.load(tmp_path / "a")(x), model.eval()(x))


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it imports its compiler
def test_network_inside_a_wrapper_is_saved(tmp_path, wrap):
    model = unet()
    oc.save(wrap(model), tmp_path / "a")
    assert torch.equal(oc.load(tmp_path / "a").head[0].weight, model.head[0].weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtype_is_kept(tmp_path, dtype):
    oc.save(unet().to(dtype), tmp_path / "a")
    again = oc.load(tmp_path / "a")
    assert again.head[0].weight.dtype == dtype
    assert again.encoder.stages[0][0][1].num_batches_tracked.dtype == torch.int64


def test_states_that_do_not_matter_are_saved(tmp_path):
    model = unet().eval().requires_grad_(False)
    model.encoder.stages[0][0][2].inplace = True
    model.remark = "mine"
    model._compiled_call_impl = model._call_impl  # as Module.compile() leaves it
    oc.save(model, tmp_path / "a")
    assert oc.load(tmp_path / "a").head[0].weight.requires_grad


@pytest.mark.parametrize("preprocessing", [{"mean": float("nan")}, {1: "a"}, {"a": [{2: 3}]}, ["a"], {"a": {1, 2}}])
def test_preprocessing_that_json_would_change_is_not_saved(tmp_path, preprocessing):
    model = unet()
    model.preprocessing = preprocessing
    with pytest.raises(InputError, match=r"preprocessing=.*: cannot be expressed in JSON .*; use finite numbers"):
        oc.save(model, tmp_path / "a")


class Tied(Model):
    """Two layers with one weight, a table in float64, and a constructor that reads values."""

    output = "dense"
    total_stride = 1

    def __init__(self, in_channels, out_channels, surface):
        super().__init__(surface)
        self.first = nn.Conv2d(in_channels, out_channels, 1)
        self.second = nn.Conv2d(in_channels, out_channels, 1)
        self.second.weight = self.first.weight
        self.register_buffer("table", torch.arange(3, dtype=torch.float64))
        self.total = float(torch.arange(3.0).sum())

    def forward(self, x):
        return self.first(x) + self.second(x)


@pytest.fixture
def tied():
    register_model("tied", Tied)
    yield Tied(1, 2, Plane())
    del MODELS["tied"]


def test_ties_and_dtypes_of_the_constructor_are_kept(tmp_path, tied):
    oc.save(tied, tmp_path / "a")
    before = torch.get_rng_state()
    again = oc.load(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    assert again.second.weight is again.first.weight
    assert torch.equal(again.first.weight, tied.first.weight)
    assert again.table.dtype == torch.float64


def test_sharded_class_is_refused_with_the_cure(tmp_path):
    model = unet()
    model.__class__ = type("FSDPUNet", (UNet,), {"__init__": UNet.__init__})
    with pytest.raises(InputError, match=r"model='FSDPUNet': must be one of .*; .* load its full weights into a plain"):
        oc.save(model, tmp_path / "a")


SURFACES = (
    "plane", "icosphere:3", "icosahedron:3", "healpix:32", "cubemap:16", "equirectangular",
    "equirectangular:height=128,kernels=tangent", "equirectangular:height=32,kernels=rows",
)  # fmt: skip


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("model", ["unet", "classifier"])
def test_expected_tensors_are_those_of_the_network(model, name):
    arguments = {"in_channels": 3, "out_channels": 2, "width": 2, "depth": 2, "surface": name}
    arguments |= {"up": "transposed"} if model == "unet" else {"down": "max"}
    specs, exact = expected_tensors(model, arguments)
    own = {
        key: (value.dtype, tuple(value.shape)) for key, value in oc.models.build(model, arguments).state_dict().items()
    }
    assert exact == (own == specs) == ("rows" not in name)
    assert check_tensors({key: type(specs[key])(*value) for key, value in own.items()}, specs, exact) == ""
    assert str(surface(name).outline()) == str(surface(name))


@pytest.mark.parametrize(
    "changes",
    [
        {"surface": "icosphere:9"},
        {"surface": "icosahedron:8"},
        {"surface": "healpix:1024"},
        {"surface": "equirectangular:height=8192,kernels=tangent"},
        {"surface": "equirectangular:height=1024,kernels=tangent", "head_kernel": 3},
        {"surface": "equirectangular:height=1024,kernels=rows"},
        {"surface": "equirectangular:height=65536,kernels=rows"},
        {"surface": "equirectangular:height=99999999,kernels=rows"},
        {"width": 128, "depth": 5},
        {"width": 1024, "depth": 10},
        {"in_channels": 2**36},
    ],
    ids=str,
)
def test_header_is_compared_before_anything_is_built(tmp_path, monkeypatch, changes):
    path = tmp_path / "model.safetensors"
    oc.save(unet(), path)
    arguments = {"in_channels": 1, "out_channels": 2, "width": 2, "depth": 1, "surface": "plane"} | changes
    description = json.dumps({"model": "unet", "arguments": arguments, "preprocessing": {}})
    save_file(unet().state_dict(), path, {"omniconv": "1", "description": description})
    monkeypatch.setattr(
        "omniconv.models.storage.model_file.build_apart", lambda *given: pytest.fail("the network was built")
    )
    with pytest.raises(FileError, match=r"weights that do not fit the network that it names: |cannot be built|samples"):
        oc.load(path)


def test_dtypes_must_be_those_of_the_network(tmp_path):
    path = tmp_path / "model.safetensors"
    oc.save(unet(), path)
    content = path.read_bytes()
    for wrong in (b'"I32"', b'"U32"'):
        path.write_bytes(content.replace(b'"F32"', wrong, 1))
        with pytest.raises(FileError, match=r"is int32 \(.*\), not float32|has weights of an unknown dtype"):
            oc.load(path)


def test_classifier_on_a_fine_mesh_is_compared_at_once():
    specs, exact = expected_tensors("classifier", Classifier(3, 2, surface("icosphere:3")).arguments)
    assert exact
    assert specs["encoder.stages.0.0.0.weight"].shape == (32, 3, 4)
