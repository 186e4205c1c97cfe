from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from omniconv.errors import FileError, InputError
from omniconv.models import MODELS, Classifier, UNet, build, get_model, load, save
from omniconv.surfaces import Equirectangular, Icosphere, Plane


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "model.safetensors"
    save(UNet(1, 2, width=2, depth=1), target)
    return target


def rewrite(path, **changes):
    """Change parts of the description in a file, which loses its checksum; ``None`` removes a part."""
    state, metadata = contents(path)
    description = json.loads(metadata["description"])
    description.update(changes)
    metadata["description"] = json.dumps({key: value for key, value in description.items() if value is not None})
    save_file(state, path, metadata=without_checksum(metadata))


def contents(path):
    """Return the tensors and the metadata of a file."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def without_checksum(metadata):
    """Return the metadata of a file that was written before files had a checksum."""
    return {key: value for key, value in metadata.items() if key != "checksum"} | {"omniconv": "1"}


def test_missing_checksum_raises(path):
    state, metadata = contents(path)
    del metadata["checksum"]
    save_file(state, path, metadata=metadata)
    assert_raises(path, r"was changed after it was written \(its checksum is missing\); copy it again")


def assert_raises(path, text):
    with pytest.raises(FileError, match=text) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "surface",
    [Plane(3, "circular"), Equirectangular("replicate"), Icosphere(1, "raw")],
    ids=str,
)
@pytest.mark.parametrize("name", ["autoencoder", "classifier", "unet"])
def test_loaded_network_has_its_surface_and_preprocessing(tmp_path, surface, name):
    model = get_model(name)(1, 2, surface, width=2, depth=1, activation="elu")
    model.preprocessing = {"mean": [0.5, 0.25], "size": [8, 16], "classes": ["sea", "land"], "resize": None}
    save(model, tmp_path / "a.safetensors")
    again = load(str(tmp_path / "a.safetensors"))
    assert type(again) is get_model(name)
    assert again.surface == surface
    assert again.preprocessing == model.preprocessing
    assert again.arguments == model.arguments
    assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())


def test_file_without_checksum_is_read(path):
    state, metadata = contents(path)
    save_file(state, path, metadata=without_checksum(metadata))
    assert isinstance(load(path), UNet)


def test_checksum_does_not_depend_on_device_memory_and_order(tmp_path):
    model = UNet(1, 2, width=2, depth=1)
    torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(model.parameters()), model.parameters())
    save(model, tmp_path / "views")
    save(model.to(memory_format=torch.channels_last), tmp_path / "strides")
    assert contents(tmp_path / "views")[1]["checksum"] == contents(tmp_path / "strides")[1]["checksum"]


def _flip(state, metadata):
    state["head.0.weight"].view(torch.int32)[0, 0] ^= 1


def _swap(state, metadata):
    first, second = "encoder.stages.0.0.1.weight", "encoder.stages.0.1.1.bias"
    state[first], state[second] = state[second], state[first]


def _describe(state, metadata):
    metadata["description"] = metadata["description"].replace('"relu"', '"silu"')


@pytest.mark.parametrize("change", [_flip, _swap, _describe])
def test_changed_contents_are_told_by_the_checksum(path, change):
    state, metadata = contents(path)
    change(state, metadata)
    save_file(state, path, metadata=metadata)
    assert_raises(path, r"was damaged or changed after it was written \(its checksum differs\); copy it again")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(path, value):
    state, metadata = contents(path)
    state["encoder.stages.0.0.1.running_var"][1] = value
    save_file(state, path, metadata=without_checksum(metadata))
    fault = r"encoder\.stages\.0\.0\.1\.running_var has 1 of 2 values NaN or infinite"
    assert_raises(path, f"cannot be used: {fault}; train again, with a smaller --learning-rate")
    model = UNet(1, 2, width=2, depth=1)
    model.load_state_dict(state)
    with pytest.raises(InputError, match=rf"model='unet': cannot be saved: {fault}"):
        save(model, path)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_memory_format_does_not_matter(tmp_path, layout):
    model = UNet(1, 2, width=2, depth=1).to(memory_format=layout)
    save(model, tmp_path / "a")
    assert torch.equal(load(tmp_path / "a").head[0].weight, model.head[0].weight)


def test_preprocessing_must_be_plain_data(tmp_path):
    model = UNet(1, 2, width=2, depth=1)
    model.preprocessing = {"mean": np.float32(0.5)}
    with pytest.raises(InputError, match=r"preprocessing=.*cannot be expressed in JSON"):
        save(model, tmp_path / "a")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("os.system", {}, f"model='os.system': must be one of {', '.join(MODELS)}; use model='{next(iter(MODELS))}'"),
        ("unet", {"in_channels": 1}, "does not take these arguments"),
        ("unet", {"in_channels": 1, "out_channels": 2, "colour": 3}, "does not take these arguments"),
        ("unet", {"in_channels": 1, "out_channels": 2, "surface": "torus"}, "surface='torus': must be one of"),
    ],
)
def test_unknown_networks_and_arguments_raise(name, arguments, text):
    with pytest.raises(InputError, match=text):
        build(name, arguments)


def test_missing_file(tmp_path):
    assert_raises(tmp_path / "none", "does not exist; give the model.safetensors of a run")


@pytest.mark.parametrize("keep", [0, 5, 0.5, 0.99])
def test_truncated_file_raises(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert_raises(path, "is damaged or not a safetensors file")


@pytest.mark.parametrize("content", [b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04" + bytes(100), b"\xff" * 64])
def test_pickles_and_noise_raise(path, content):
    path.write_bytes(content)
    assert_raises(path, "is damaged or not a safetensors file")


def test_folder_raises(tmp_path):
    assert_raises(tmp_path, "is a folder")


def test_named_pipe_raises(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    assert_raises(tmp_path / "model.safetensors", "is a named pipe, not a file")


@pytest.mark.parametrize("size", [2**23 + 1, 2**62, 0, 3])
def test_size_of_the_header_is_bounded(path, size):
    content = path.read_bytes()
    path.write_bytes(size.to_bytes(8, "little") + content[8:])
    with path.open("ab") as file:
        file.truncate(2**24)  # a sparse file, so that the header would fit
    assert_raises(path, "is damaged or not a safetensors file")


def test_repeated_names_raise(path):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].rstrip().replace(b'"head.0.bias"', b'"head.0.weight"')
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    assert_raises(path, "is damaged or not a safetensors file .*is repeated")


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"omniconv": "3"}, {"omniconv": "1"}, {"omniconv": "1", "description": "{"}]
)
def test_other_safetensors_files_raise(path, metadata):
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    assert_raises(path, r"was not written by this version of omniconv|does not name its network")


@pytest.mark.parametrize("part", ["model", "arguments", "preprocessing"])
@pytest.mark.parametrize("value", [None, 7, ["x"]])
def test_description_of_wrong_types_raises(path, part, value):
    rewrite(path, **{part: value})
    assert_raises(path, "does not name its network")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "os.system"}, f"names a network that cannot be built.*must be one of {', '.join([*MODELS][:4])}"),
        ({"model": "__class__"}, "names a network that cannot be built"),
        ({"arguments": {"surface": "plane", "in_channels": "os.system('true')"}}, "cannot be built"),
        ({"arguments": {"in_channels": 1, "out_channels": 2, "surface": "os.system:1"}}, "cannot be built"),
        ({"arguments": {"in_channels": 1, "out_channels": 2, "surface": ["plane"]}}, "cannot be built"),
        ({"arguments": {"in_channels": 1, "out_channels": 2, "width": [2]}}, "cannot be built"),
        ({"arguments": {"in_channels": 1, "out_channels": 2, "down": ["max"]}}, "cannot be built"),
        ({"arguments": {"in_channels": 1, "out_channels": 2, "activation": {}}}, "cannot be built"),
    ],
)
def test_tampered_description_executes_nothing(path, monkeypatch, changes, text):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("the file ran a command"))
    rewrite(path, **changes)
    assert_raises(path, text)


def test_weights_of_another_network_raise(path):
    rewrite(path, model="classifier", arguments={"in_channels": 1, "out_channels": 2, "width": 2, "depth": 1})
    assert_raises(path, "contains weights that do not fit the network that it names")


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
def test_failed_write_leaves_the_old_file_unchanged(path, monkeypatch, call, reason):
    def fail(*arguments):
        raise OSError(reason, os.strerror(reason))

    old = path.read_bytes()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(FileError, match=os.strerror(reason).lower()):
        save(Classifier(1, 2, width=2, depth=1), path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]
    assert isinstance(load(path), UNet)
