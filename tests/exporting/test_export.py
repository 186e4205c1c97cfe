"""A file is written and computes what its network computes, or nothing is written and one line says why."""

from __future__ import annotations

import copy
import errno
import io
import json
import os
import zipfile
from collections import OrderedDict

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import omniconv as oc
from omniconv.errors import FileError, InputError
from omniconv.exporting import Exported, export
from omniconv.exporting.export import _input_names, _output_name
from omniconv.exporting.from_run import WithNormalization
from omniconv.exporting.verification import compare
from omniconv.models import Model


class ChangesWhenExported(nn.Module):
    """Computes something else once it is exported."""

    def forward(self, x):
        return x + 1 if torch.compiler.is_compiling() else x


class FixedSize(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 3 * 16 * 20).sum(1)


class TwoOutputs(nn.Module):
    def forward(self, x):
        return x * 2, x.mean((2, 3))


class Containers(nn.Module):
    def forward(self, x):
        return OrderedDict(out=x * 2, image=x + 1, features=(x * 3, {"mean": x.mean((2, 3)), "none": None}))


CLASSES = ["sea", "land"]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = oc.models.UNet(3, 2, width=2, depth=1)
    network.input_normalization = {"mean": [0.5, 0.25, 0.125], "std": [0.25, 0.5, 1.0]}
    return network


@pytest.fixture(scope="module", params=["a.onnx", "a.pt2"])
def done(request, network, tmp_path_factory):
    network.train()
    given = {"description": {"classes": CLASSES, "task": "segment"}}
    return export(network, tmp_path_factory.mktemp("exported") / request.param, **given)


def test_file_is_verified_and_the_network_keeps_its_mode(network, done):
    assert isinstance(done, Exported)
    assert network.training
    assert os.listdir(done.path.parent) == [done.path.name]
    assert done.worst.relative_error < 1e-5
    assert {found.shape[0] for found in done.differences} == {1, 2, 3}
    assert len({found.shape[2:] for found in done.differences}) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(network, tmp_path, value):
    broken = copy.deepcopy(network)
    with torch.no_grad():
        broken.head[0].weight[1, 0] = value
    line = "a.pt2: was not written: head.0.weight has 1 of 4 values NaN or infinite; train the network again"
    with pytest.raises(FileError, match=line):
        export(broken, tmp_path / "a.pt2")
    assert not list(tmp_path.iterdir())


def test_metadata(done):
    content = done.path.read_bytes()
    if done.path.suffix == ".onnx":
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        said = {entry.key: entry.value for entry in model.metadata_props}
        said |= {name: json.loads(said[name]) for name in ("classes", "mean", "spread")}
    else:
        said = json.loads(members(content)["omniconv.json"])
    assert said["classes"] == CLASSES
    assert said["task"] == "segment"
    assert said["smallest_size"] == "4"
    assert said["input"] == "image: float32 (batch, 3, height, width)"
    assert said["omniconv"] == oc.__version__
    assert said["values"] == "channels in 0 to 1, minus mean, divided by spread"
    assert (said["mean"], said["spread"]) == ([0.5, 0.25, 0.125], [0.25, 0.5, 1.0])


def test_onnx_file_names_its_axes(done):
    if done.path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
        (image,), (logits,) = session.get_inputs(), session.get_outputs()
        assert (image.name, image.shape) == ("image", ["batch", 3, "height", "width"])
        assert (logits.name, logits.shape) == ("logits", ["batch", 2, "height", "width"])


def test_file_contains_no_path_of_this_machine(done):
    content = done.path.read_bytes()
    for part in [content] if done.path.suffix == ".onnx" else members(content).values():
        assert b".py" not in part
        assert os.fsencode(done.path.parent) not in part


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}


def test_fixed_size_stays_fixed(network, tmp_path):
    done = export(network, tmp_path / "a.pt2", torch.zeros(1, 3, 9, 12), any_size=False)
    assert [found.shape for found in done.differences] == [(1, 3, 9, 12), (3, 3, 9, 12)]
    assert json.loads(members(done.path.read_bytes())["omniconv.json"])["input"] == "image: float32 (batch, 3, 9, 12)"


def test_several_outputs_have_names(tmp_path):
    done = export(TwoOutputs(), tmp_path / "a.onnx", torch.zeros(1, 2, 16, 16))
    assert {found.output for found in done.differences} == {"output_0", "output_1"}


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_outputs_in_containers_are_named_by_their_keys(tmp_path, suffix):
    done = export(Containers(), tmp_path / f"a.{suffix}", torch.zeros(1, 2, 16, 16))
    names = {"out", "image_output" if suffix == "onnx" else "image", "features_0", "features_1.mean"}
    assert {found.output for found in done.differences} == names
    assert done.worst.relative_error < 1e-5
    if suffix == "pt2":
        assert set(torch.export.load(done.path).module()(torch.zeros(3, 2, 20, 17))) == names
    else:
        session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
        assert {output.name for output in session.get_outputs()} == names


def test_example_that_the_network_does_not_take(network, tmp_path):
    for example, rule in ((torch.zeros(1, 4, 16, 16), "is not taken by the network"), (3, "must be a tensor")):
        with pytest.raises(InputError, match=rf"example=.*: {rule} .*; pass an input of the network"):
            export(network, tmp_path / "a.pt2", example)
    with pytest.raises(InputError, match=r"model='str': must be a torch\.nn\.Module"):
        export("network", tmp_path / "a.pt2")
    assert os.listdir(tmp_path) == []


def test_existing_file_is_replaced_only_with_overwrite(network, tmp_path):
    (tmp_path / "a.pt2").write_text("mine")
    with pytest.raises(FileError, match=r"a\.pt2: exists already; add overwrite=True"):
        export(network, tmp_path / "a.pt2")
    assert (tmp_path / "a.pt2").read_text() == "mine"
    export(TwoOutputs(), tmp_path / "a.pt2", torch.zeros(1, 2, 16, 16), overwrite=True)
    assert (tmp_path / "a.pt2").stat().st_size > 1000


@pytest.mark.parametrize("name", ["a.onnx", "a.pt2"])
def test_file_that_differs_is_not_written(tmp_path, name):
    line = r"was not written: its logits differ from the network's by .* largest value for an input of . × 2 × .. × 16 "
    with pytest.raises(FileError, match=line) as caught:
        export(ChangesWhenExported(), tmp_path / name, torch.zeros(1, 2, 24, 16))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_file_that_differs_keeps_the_existing_one(tmp_path):
    (tmp_path / "a.pt2").write_text("mine")
    with pytest.raises(FileError, match="was not written"):
        export(ChangesWhenExported(), tmp_path / "a.pt2", torch.zeros(1, 2, 24, 16), overwrite=True)
    assert (tmp_path / "a.pt2").read_text() == "mine"


def test_widths_that_a_stride_does_not_divide_are_compared_without_a_warning():
    network = oc.convert.to_equirectangular(nn.Conv2d(3, 1, 3, stride=2, padding=1))
    (difference,) = compare(network, lambda x: [x[:, :1, ::2, ::2]], [(1, 3, 8, 9)], ["logits"])
    assert difference.relative_error > 0


def test_nan_and_other_shapes_differ():
    found = compare(nn.Identity(), lambda x: [x * float("nan")], [(1, 2, 3)], ["y"])
    assert found[0].relative_error == float("inf")
    assert compare(nn.Identity(), lambda x: [x[..., 1:]], [(1, 2, 3)], ["y"])[0].relative_error == float("inf")


@pytest.mark.parametrize(
    ("name", "network_of", "given", "text"),
    [
        ("a.pth", "unet", {}, "must end with .onnx or .pt2"),
        ("a.pt2", "own", {}, "example=None: is required for a network that is not one of oc.models"),
        ("a.pt2", "one size", {"example": torch.zeros(1, 3, 16, 20)}, "any_size=True: cannot be exported"),
    ],
)
def test_wrong_arguments_are_refused(network, tmp_path, name, network_of, given, text):
    chosen = {"unet": network, "own": TwoOutputs(), "one size": FixedSize()}[network_of]
    with pytest.raises(InputError, match=text) as caught:
        export(chosen, tmp_path / name, **given)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_missing_extra_is_named(network, tmp_path, monkeypatch):
    monkeypatch.setattr("omniconv.checks.find_spec", lambda name: None if name == "onnxruntime" else True)
    with pytest.raises(InputError, match=r"='onnxruntime': is not installed, .* onnx needs; .*\[export\]'"):
        export(network, tmp_path / "a.onnx")
    assert os.listdir(tmp_path) == []


def test_full_disk_leaves_no_file(network, tmp_path, monkeypatch):
    def refusing(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refusing)
    with pytest.raises(FileError, match="cannot be written"):
        export(TwoOutputs(), tmp_path / "a.pt2", torch.zeros(1, 2, 16, 16))
    assert os.listdir(tmp_path) == []


class Scaled(Model):
    """Network of an image, a number and a mask."""

    output = "inpainter"
    total_stride = 1

    def __init__(self, in_channels, surface=oc.Plane()):  # noqa: B008
        super().__init__(surface)
        self.conv = oc.nn.Conv(in_channels, in_channels, 3, padding=1, surface=surface)

    def forward(self, x, sigma, mask):
        return self.conv(x * (1 - mask)) * sigma[:, None, None, None]

    def example_inputs(self, grid=(), batch=1):
        (x,) = super().example_inputs(grid, batch)
        return x, torch.linspace(1, 2, batch), (x[:, :1] > 0).float()


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_model_of_several_inputs_names_them(tmp_path, suffix):
    network = Scaled(2).eval()
    path = tmp_path / f"network{suffix}"
    assert oc.export(network, path).worst.relative_error < 1e-4
    inputs = network.example_inputs((7, 9), 3)
    with torch.no_grad():
        expected = network(*inputs)
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        assert names == ["image", "sigma", "mask"]
        (found,) = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(torch.export.load(path).module()(*inputs), expected)


def test_a_network_that_returns_images_returns_rgb():
    network, mean, std = Scaled(3).eval(), (0.2, 0.4, 0.6), (0.5, 0.25, 0.1)
    x, sigma, mask = network.example_inputs((5, 6), 2)
    shape = (1, 3, 1, 1)
    normalized = (x - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    expected = network(normalized, sigma, mask) * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    torch.testing.assert_close(WithNormalization(network, mean, std)(x, sigma, mask), expected)


class Hypotenuse(nn.Module):
    def forward(self, x):
        return torch.hypot(x, x + 1)


def test_functions_that_onnx_lacks_are_composed(tmp_path):
    assert oc.export(Hypotenuse(), tmp_path / "network.onnx", torch.zeros(1, 2, 16, 16)).worst.relative_error < 1e-6


def test_inputs_and_outputs_are_named_as_in_the_models_forward():
    network = oc.models.Denoiser(1, width=4)
    for one in (network, WithNormalization(network, (0.5,), (0.25,))):
        assert _input_names(one, 2) == ("image", "sigma")
        assert _output_name(one, torch.zeros(1)) == "output"
