"""Networks of the user's own as models: their channels and outputs, and files whose code does not run unasked."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import omniconv as oc
from omniconv.convert.own_network import OwnDense, OwnGlobal, OwnImage
from omniconv.errors import FileError, InputError
from omniconv.models.own_code import network_code

SURFACES = (oc.Plane(), oc.Equirectangular(), oc.Equirectangular(height=16, kernels="tangent"))
GRID = (16, 32)


def flat(out_channels=2):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, out_channels, 1)
    return nn.Sequential(*layers)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write a module of networks into the working folder, and return its name."""
    (tmp_path / "mine_of_tests.py").write_text(
        "import pathlib\nfrom torch import nn\npathlib.Path('ran').touch()\nbuilt = nn.Conv2d(3, 2, 1)\n"
        "def network():\n    return nn.Conv2d(3, 2, 1)\ndef wants(n):\n    return nn.Conv2d(3, n, 1)\n"
        "def raises():\n    raise OSError('no disk')\ndef number():\n    return 3\nfive = 5\n"
    )
    monkeypatch.chdir(tmp_path)
    yield "mine_of_tests"
    import sys

    sys.modules.pop("mine_of_tests", None)


@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_saved_network_is_loaded_with_its_code(tmp_path, surface):
    network = OwnDense(flat(), 3, 2, surface).eval()
    network.network[1].running_mean.fill_(0.5)
    network.preprocessing = {"task": "segment"}
    oc.save(network, tmp_path / "a.safetensors")
    again = oc.load(tmp_path / "a.safetensors", network=flat)
    x = torch.rand(2, 3, *GRID)
    torch.testing.assert_close(again(x), network(x))
    assert again.surface == surface
    assert (again.preprocessing, again.code) == ({"task": "segment"}, "test_own_network:flat")


def test_a_file_imports_nothing_unasked(tmp_path, mine):
    network = OwnDense(network_code(f"{mine}:network"), 3, 2)
    (tmp_path / "ran").unlink()
    oc.save(network, tmp_path / "a.safetensors")
    import sys

    del sys.modules[mine]
    with pytest.raises(FileError) as refused:
        oc.load(tmp_path / "a.safetensors")
    text = f"has a network of your own, {mine}:network, whose code is not run unasked; give network='{mine}:network' "
    assert str(refused.value) == f"{tmp_path}/a.safetensors: {text}again, or trust=True if you trust its source"
    assert not (tmp_path / "ran").exists()
    for allowed in ({"network": f"{mine}:network"}, {"trust": True}):
        assert torch.equal(oc.load(tmp_path / "a.safetensors", **allowed).network.weight, network.network.weight)
    assert (tmp_path / "ran").exists()


def test_a_string_alone_runs_no_code(mine, tmp_path):
    with pytest.raises(InputError, match=r"network='mine_of_tests:network': names code, which does not run unasked"):
        OwnDense(f"{mine}:network", 3, 2)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "no_such_module:a",
            r"cannot be made \(ModuleNotFoundError: .*\); give package.module:callable, whose package",
        ),
        ("MINE:absent", r"cannot be made \(AttributeError: .*\); name a module, or a function without arguments"),
        ("MINE", "must be an import path, package.module:callable; write the module, a colon"),
        ("MINE:wants", r"cannot be made \(TypeError: .*'n'\); name a module, or a function without arguments"),
        ("MINE:raises", r"cannot be made \(OSError: no disk\)"),
        ("MINE:number", "returns a int, not a torch.nn.Module"),
        ("MINE:five", "is a int, not a torch.nn.Module"),
    ],
)
def test_paths_that_give_no_network_are_refused(mine, path, text):
    with pytest.raises(InputError, match=rf"^network='{path.replace('MINE', mine)}': {text}"):
        OwnDense(network_code(path.replace("MINE", mine)), 3, 2)


def test_each_network_has_weights_of_its_own(mine):
    for name in ("built", "network"):
        code = network_code(f"{mine}:{name}")
        first, second = (OwnDense(code, 3, 2) for _ in range(2))
        assert first.network is not second.network
        assert copy.deepcopy(first).code is first.code
    assert type(pickle.loads(pickle.dumps(code))) is str  # naming code again stays the user's part


def test_weights_of_another_network_are_refused(tmp_path):
    oc.save(OwnDense(flat(), 3, 2), tmp_path / "a.safetensors")
    rule = r"contains weights that do not fit torch.nn.modules.conv:Conv2d: network.weight is missing; give the code"
    with pytest.raises(FileError, match=rule):
        oc.load(tmp_path / "a.safetensors", network=nn.Conv2d(3, 2, 1))
    oc.save(oc.models.UNet(3, 2, width=2, depth=1), tmp_path / "b.safetensors")
    with pytest.raises(
        InputError, match=r"network='.*:flat': is not needed: .*b.safetensors has a network of omniconv"
    ):
        oc.load(tmp_path / "b.safetensors", network=flat)


def test_a_changed_network_cannot_be_saved(tmp_path):
    network = OwnDense(flat(), 3, 2)
    network.network[4] = nn.Conv2d(4, 3, 1)
    with pytest.raises(InputError, match=r"network\.4\.weight is float32 \(3, 4, 1, 1\), not .*; change the code of"):
        oc.save(network, tmp_path / "a.safetensors")


def test_a_converted_network_has_no_seam():
    network = OwnDense(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 3, 2, 1)), 3, 2, SURFACES[1])
    x = torch.rand(1, 3, *GRID)
    torch.testing.assert_close(network(x.roll(2, -1)), network(x).roll(2, -1))


def test_networks_get_their_channels():
    x = torch.rand(1, 3, *GRID)
    torch.testing.assert_close(OwnImage(nn.Identity(), 3, 3, channel_order="bgr").network_input(x), x.flip(1))
    torch.testing.assert_close(OwnImage(nn.Identity(), 3, 3, channel_order="bgr")(x), x)
    grey = OwnImage(nn.Identity(), 3, 3, channel_order="grey")(x)
    torch.testing.assert_close(grey, (0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]).expand(-1, 3, -1, -1))


def test_outputs_are_selected_and_brought_to_the_size_of_the_image():
    class Several(nn.Module):
        def forward(self, x):
            return {"aux": x, "out": (x[:, :1, ::2, ::2], x[:, 0])}

    x = torch.rand(2, 3, *GRID)
    assert OwnDense(Several(), 3, 3)(x).shape == (2, 3, *GRID)
    binary = OwnDense(Several(), 3, 2, output_key="out")(x)
    assert binary.shape == (2, 2, *GRID)
    assert not binary[:, 0].any()
    assert OwnGlobal(nn.AdaptiveAvgPool2d(1), 3, 3)(x).shape == (2, 3)
    with pytest.raises(InputError, match=r"output='mask': must be one of the network's outputs \(aux, out\)"):
        OwnDense(Several(), 3, 2, output_key="mask")(x)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: OwnDense(flat(3), 3, 2), r"returns a tensor \(1, 3, 8, 16\), not with 2 channels, one for each class"),
        (lambda: OwnDense(nn.Flatten(), 3, 2), "not an output for each pixel; use a task with one output per image"),
        (lambda: OwnGlobal(flat(), 3, 2), "not one output per image; use a task with an output for each pixel"),
        (lambda: OwnImage(flat(), 3, 3), "not an image of 3 channels; use a task with classes"),
        (lambda: OwnDense(nn.Conv2d(4, 2, 1), 3, 2), r"cannot take an image of 3 × 16 × 32 \(RuntimeError: .*channels"),
        (lambda: OwnDense(nn.LogSoftmax(5), 3, 2), r"cannot take an image of 3 × 16 × 32 \(IndexError: .*; choose"),
    ],
)
def test_outputs_that_were_not_promised_are_refused(make, text):
    with pytest.raises(InputError, match=rf"^network='.*': .*{text}"):
        make().check_output(GRID)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"surface": oc.Icosphere(1)}, "surface='icosphere:1,laplacian=mass': is not possible for a flat network"),
        ({"poles": "over"}, "poles='over': is not used on plane:ndim=2,border=zeros; leave it out"),
        ({"surface": SURFACES[1], "poles": "up"}, "poles='up': must be one of flat, over"),
        ({"channel_order": "hsv"}, "channel_order='hsv': must be one of rgb, bgr, grey"),
        ({"channel_order": "grey", "in_channels": 4}, "in_channels=4: must be 3, for channel_order='grey'"),
        ({"out_channels": 0}, "out_channels=0: must be a whole number from 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(InputError, match=rf"^{text}"):
        OwnDense(flat(), **({"in_channels": 3, "out_channels": 2} | arguments))


@pytest.mark.slow
@pytest.mark.parametrize("surface", SURFACES[1:], ids=str)
def test_converted_networks_are_exported(tmp_path, surface):
    network = OwnDense(flat(), 3, 2, surface)
    assert oc.export(network, tmp_path / "a.onnx").worst.relative_error < 1e-5
