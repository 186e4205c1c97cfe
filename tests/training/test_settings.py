from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
import torch
import yaml
from pydantic import Field, ValidationError

from omniconv.errors import FileError, InputError
from omniconv.models import build
from omniconv.models.encoders.registry import ENCODERS
from omniconv.models.registry import get_model
from omniconv.training.setting_errors import explain
from omniconv.training.setting_values import MAX_IMAGE_SIDE, MAX_TRAINING_SIDE, parse_size
from omniconv.training.settings import (
    ADDED_SETTINGS,
    OWN_SETTINGS,
    RunConfig,
    Settings,
    read_config,
    with_earlier_defaults,
)

OTHER = {
    "task": "classify",
    "data": "/data/Grüße: 1 # 2/it's",
    "method": "",
    "surface": "equirectangular:poles=zeros",
    "model": "classifier",
    "encoder": "resnet18",
    "layers": 34,
    "width": 7,
    "depth": 2,
    "down": "max",
    "up": "transposed",
    "stem_stride": 2,
    "residual": True,
    "normalization": "group",
    "output_stride": 8,
    "weights": "/weights/a.pth",
    "encoder_weights": "torchvision",
    "freeze": 1,
    "mean": (0.1 + 0.2, 0.5, 0.4),
    "std": (0.2, 0.25, 1 / 3),
    "network": "mine:network",
    "poles": "over",
    "channel_order": "bgr",
    "output_key": "out",
    "size": (17, 31),
    "epochs": 3,
    "repeat": 4,
    "batch_size": 5,
    "learning_rate": 1e-5,
    "weight_decay": 0.1 + 0.2,
    "optimizer": "sgd",
    "schedule": "constant",
    "accumulate": 2,
    "clip": 1.5,
    "ema": 0.5,
    "sample_every": 5,
    "augment": ("turn", "colour"),
    "validation": 1 / 3,
    "patience": 6,
    "loss": "ce+focal",
    "label_smoothing": 0.1,
    "balance": True,
    "oversample": 0.25,
    "binary": True,
    "holes": "thin",
    "min_object": 12.5,
    "skip_bad": True,
    "seed": 2**40 + 1,
    "precision": "16",
    "device": "cpu",
    "devices": 2,
    "nodes": 2,
    "strategy": "ddp",
    "cache": "disk",
    "workers": 2,
    "compile": True,
    "logger": ("csv",),
}


def round_trip(config, path):
    config.write(path)
    return RunConfig(**read_config(path))


def test_other_values_cover_every_setting():
    assert list(OTHER) == list(RunConfig.model_fields)
    others = {name: field for name, field in RunConfig.model_fields.items() if name != "method"}  # depends on the task
    assert all(OTHER[name] != field.default for name, field in others.items())


ONE_BY_ONE = [{name: value} | ({"task": "classify"} if name == "model" else {}) for name, value in OTHER.items()]


@pytest.mark.parametrize("settings", [{}, OTHER, *ONE_BY_ONE])
def test_round_trip_is_exact(settings, tmp_path):
    config = RunConfig(**settings)
    assert round_trip(config, tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    "settings",
    [{"augment": ()}, {"augment": None}, {"data": ""}, {"data": "no"}, {"data": "123"}, {"data": "null"},
     {"precision": "bf16"}, {"learning_rate": 1e-7}, {"weight_decay": 0}, {"data": " a\ttab "}, {"data": "line\nline"},
     {"data": "x" * 3000}],
)  # fmt: skip
def test_round_trip_of_odd_values(settings, tmp_path):
    config = RunConfig(**settings)
    assert round_trip(config, tmp_path / "config.yaml") == config


def test_file_describes_each_setting(tmp_path):
    RunConfig().write(tmp_path / "config.yaml")
    lines = (tmp_path / "config.yaml").read_text().splitlines()
    unused = ("holes", "sample_every", "layers", "output_stride", *OWN_SETTINGS)
    used = {name: field for name, field in RunConfig.model_fields.items() if name not in unused}
    assert len(lines) == 2 * len(used)
    for index, (name, field) in enumerate(used.items()):
        assert lines[2 * index] == f"# {field.description}"
        assert lines[2 * index + 1].startswith(f"{name}: ")


def test_missing_settings_keep_their_defaults(tmp_path):
    (tmp_path / "a.yaml").write_text("epochs: 3\n")
    assert read_config(tmp_path / "a.yaml") == {"epochs": 3}


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [("size: 64", "size", (64, 64)), ("size: 32x64", "size", (32, 64)), ("size: [32, 64]", "size", (32, 64)),
     ("size: []", "size", ()), ("precision: 16", "precision", "16"), ("learning_rate: 1", "learning_rate", 1),
     ("rate: 1e-3", "learning_rate", 1e-3), ("decay: 0", "weight_decay", 0), ("batch: 3", "batch_size", 3),
     ("augment: [turn]", "augment", ("turn",)), ("augment: []", "augment", ())],
)  # fmt: skip
def test_hand_written_values(tmp_path, line, name, value):
    (tmp_path / "a.yaml").write_text(line)
    assert read_config(tmp_path / "a.yaml") == {name: value}
    assert getattr(RunConfig(**read_config(tmp_path / "a.yaml")), name) == value


ALIASES = "size:" + "".join(
    f" [&a{level} [{', '.join([f'*a{level - 1}' if level else 'word'] * 9)}]," for level in range(9)
) + " 1" + "]" * 9  # fmt: skip
"""A few hundred bytes that name 9⁹ words."""


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("epoch: 3", "epoch=3: is an unknown setting; did you mean epochs?"),
        ("surfce: plane", "surfce='plane': is an unknown setting; did you mean surface?"),
        ("qqq: 1", "qqq=1: is an unknown setting; use one of task, data"),
        ("1: 1", "1=1: is an unknown setting; use one of"),
        ("epochs: 0", "epochs=0: must be a whole number from 1 to 1,000,000; use epochs: 20"),
        ("epochs: many", "epochs='many': must be a whole number"),
        ("epochs: 2.5", "epochs=2.5: must be a whole number"),
        ("epochs: true", "epochs=True: must be a whole number"),
        ("epochs: null", "epochs=None: must be a whole number"),
        ("binary: 1", "binary=1: must be true or false; use binary: true or binary: false"),
        ("learning_rate: fast", "learning_rate='fast': must be a number above 0 and below 10; use learning_rate: 0.0"),
        ("augment: 3", "augment=3: must be a list of words; give a value of this type, or leave it out"),
        ("size: [a, b]", "size=['a', 'b']: must be rows and columns, each from 8 to 16,384; use size: 256"),
        ("size: -5", "size=-5: must be rows and columns, each from 8 to 16,384; use size: 256 or size: 128x256"),
        (f"size: '{'9' * 5000}'", "size='9999"),
        ("surface: [plane]", "surface=['plane']: must be text; use surface: plane"),
        ("model: {a: b}", "model={'a': 'b'}: must be text; give a value of this type, or leave it out"),
        ("precision: [16]", "precision=[16]: must be text; use precision: 32"),
        ('data: "a\\0b"', r"data='a\x00b': must be a path, which has no NUL characters; give the folder of images"),
        ("train:\n  epochs: 3", "has settings below train in line 1: settings are not nested; remove train and the"),
        ("epochs: 3\n\nseed: 1\nepochs: 4", "sets epochs in line 1 and in line 4; keep one of them"),
        ('"\\ud800": 1', "has no name of a setting in line 1; write one 'name: value' per line"),
        ("? [a]\n: 1", "has no name of a setting in line 1; write one 'name: value' per line"),
        ("a: 1\n---\nb: 2", "is not valid YAML: but found another document, in line 2; write 'name: value' there"),
        ("epochs: 3\nseed: \x1b[2J", r"is not valid YAML: the character '\x1b' is not allowed, in line 2; write"),
        ("seed: 2001-13-45", "seed='2001-13-45': must be a whole number"),
        (
            f"epochs: 3\nseed: {'1' * 5000}",
            "is not valid YAML: a number has too many digits or none",
        ),
        (
            "seed: 0b_",
            "is not valid YAML: a number has too many digits or none, in line 1; write 'name: value' there",
        ),
        (
            "seed: !!int x",
            "is not valid YAML: the tag tag:yaml.org,2002:int is not read, in line 1; write 'name: value' there",
        ),
        ("seed: &a 1", "is not valid YAML: anchors and aliases are not read, in line 1; write 'name: value' there"),
        ("seed: *a", "is not valid YAML: anchors and aliases are not read, in line 1; write 'name: value' there"),
        (ALIASES, "is not valid YAML: anchors and aliases are not read, in line 1; write 'name: value' there"),
        ("size: " + "[" * 30_000, "is not valid YAML: it is nested too deep, in line 1; write 'name: value' there"),
        ("\n".join(f"{'  ' * depth}- -" for depth in range(100)), "is not valid YAML: it is nested too deep"),
        ("x: 1\n" * 14_000, "is larger than 65,536 bytes; give the right file"),
        ("- 1\n- 2", "must contain settings"),
        ("", "must contain settings"),
        ("epochs: [", "is not valid YAML"),
        ("epochs: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_bad_files(tmp_path, text, rule):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: {rule}")
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        read_config(tmp_path / "none.yaml")
    with pytest.raises(FileError, match="is a folder, not a file; give a file"):
        read_config(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FileError, match="is not UTF-8 text"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("repeat", 0), ("batch_size", 0), ("patience", -1), ("workers", -1), ("seed", -1), ("seed", 2**63),
     ("learning_rate", 0), ("learning_rate", -1.0), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
     ("weight_decay", -1e-9),
     ("weight_decay", float("nan")), ("size", (4, 16)), ("size", (16,)), ("size", (16, 16, 16))],
)  # fmt: skip
def test_ranges(name, value):
    with pytest.raises(InputError) as caught:
        RunConfig(**{name: value})
    assert str(caught.value).startswith(f"{name}={value!r}: must be ")
    assert f"use {name}=" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [("task", "segmnt", "segment"), ("task", "clasify", "classify"), ("precision", "fb16", "bf16"),
     ("device", "cud", "cuda"), ("device", "gpu", "cpu")],
)  # fmt: skip
def test_wrong_choices_name_the_nearest(name, value, near):
    with pytest.raises(InputError, match=rf"^{name}='{value}': must be one of .*; did you mean {near}\?$"):
        RunConfig(**{name: value})


def test_sizes_as_text():
    assert parse_size("256") == (256, 256)
    assert parse_size("128x256") == parse_size("128X256") == (128, 256)
    for text in ("", "x", "1x2x3", "a", "-5", "12.5", "128 x", "0x10x"):
        with pytest.raises(InputError, match=r"must be N or HxW in pixels; use size=256 or size='128x256'"):
            parse_size(text)


def test_lists_of_names_as_text():
    assert RunConfig(augment="none").augment == RunConfig(augment=()).augment == ()
    assert RunConfig(augment="flip").augment == ("flip",)
    assert RunConfig(augment="turn, colour,").augment == ("turn", "colour")
    with pytest.raises(InputError, match="augment='': must be names with commas between them; use augment='none' for"):
        RunConfig(augment="")


def test_settings_survive_yaml():
    content = RunConfig(**OTHER).model_dump(mode="json")
    assert yaml.safe_load(yaml.safe_dump(content)) == content


def test_network_arguments():
    assert RunConfig().model_name == "unet"
    assert RunConfig(task="classify").model_name == "classifier"
    assert "up" not in RunConfig(task="classify").network_arguments(3, ("a", "b"))
    assert RunConfig(width=3).network_arguments(3, tuple("abcde")) == {
        "in_channels": 3, "out_channels": 5, "encoder": "plain", "width": 3, "depth": 3, "down": "stride",
        "surface": "plane", "up": "linear", "stem_stride": 1, "residual": False,
    }  # fmt: skip


def network_settings(**settings):
    chosen = RunConfig.with_task_defaults(**settings).network_settings()
    return {name: value for name, value in chosen.items() if name not in ("surface", "up")}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {},
            {
                "encoder": "plain",
                "width": 16,
                "depth": 4,
                "down": "stride",
                "stem_stride": 2,
                "residual": True,
                "normalization": "group",
            },
        ),
        ({"task": "classify"}, {"width": 16, "depth": 3, "down": "stride"}),
        ({"encoder": "resnet18"}, {"encoder": "resnet18", "width": 64, "output_stride": 32}),
        ({"encoder": "resnet18", "width": 8}, {"encoder": "resnet18", "width": 8, "output_stride": 32}),
        ({"model": "deeplab"}, {"encoder": "resnet50", "width": 64, "output_stride": 16}),
        ({"model": "deeplab", "encoder": "plain"}, {"encoder": "plain", "width": 16, "output_stride": 16}),
        ({"model": "fpn", "encoder": "plain"}, {"encoder": "plain", "width": 16, "output_stride": 8}),
        ({"model": "linknet"}, {"encoder": "resnet18", "width": 64, "output_stride": 32}),
        ({"model": "unet", "encoder": "timm:resnet18"}, {"encoder": "timm:resnet18", "output_stride": None}),
        ({"task": "classify", "model": "resnet", "layers": 34}, {"layers": 34, "width": 64, "output_stride": 32}),
    ],
)
def test_a_network_has_the_defaults_of_its_encoder(settings, expected):
    assert network_settings(**settings) == expected


@pytest.mark.parametrize(
    ("surface", "stride"), [("equirectangular", 32), ("icosphere:3", 8), ("healpix:16", 16), ("cubemap:64", 32)]
)
def test_an_output_stride_is_one_that_the_surface_has(surface, stride):
    assert network_settings(encoder="resnet18", surface=surface)["output_stride"] == stride
    assert network_settings(encoder="resnet18", surface=surface, output_stride=4)["output_stride"] == 4


def test_a_network_keeps_its_own_normalization_unless_one_is_chosen():
    assert "normalization" not in network_settings(task="classify")
    assert network_settings(task="classify", normalization="group")["normalization"] == "group"
    assert "normalization" not in network_settings(task="generate")
    with pytest.raises(InputError, match="normalization='grup': must be one of batch, group, weight, none; did you"):
        RunConfig(normalization="grup")


def test_default_depth_is_one_that_the_surface_has():
    assert network_settings(surface="icosphere:2")["depth"] == 2
    assert network_settings(surface="icosphere:2", depth=3)["depth"] == 3  # refused by check_settings
    assert network_settings(surface="icosphere:9")["depth"] == 4


def test_config_of_an_earlier_version_repeats_its_training(tmp_path):
    config = RunConfig(task="segment", data="DATA", stem_stride=2, loss="dice", normalization="group")
    config.write(tmp_path / "config.yaml")
    settings = read_config(tmp_path / "config.yaml")
    assert with_earlier_defaults(settings) == settings
    earlier = {name: value for name, value in settings.items() if name not in ADDED_SETTINGS}
    again = RunConfig.with_task_defaults(**with_earlier_defaults(earlier))
    assert (again.stem_stride, again.residual, again.loss, again.depth) == (1, False, "ce", 3)
    assert again.normalization == "batch"
    partial = {"task": "segment", "data": "DATA"}  # written by hand
    assert with_earlier_defaults(partial) == partial


def test_the_defaults_of_encoders_are_those_of_the_networks():
    for name in ("deeplab", "fpn", "linknet"):
        own = signature(get_model(name)).parameters
        assert network_settings(model=name)["encoder"] == own["encoder"].default
    for name in ENCODERS:
        config = RunConfig.with_task_defaults(encoder=name, surface="cubemap:16")
        with torch.device("meta"):
            network = build(config.model_name, config.network_arguments(3, ("a", "b")))
        assert network.total_stride == config.network_settings().get("output_stride", 2**config.depth)
        assert network.encoder.channels[0] == config.width == (16 if name == "plain" else 64)


@pytest.mark.parametrize(
    ("settings", "name", "user"),
    [
        ({"encoder": "resnet18"}, "depth", "encoder resnet18"),
        ({"encoder": "resnet18"}, "down", "encoder resnet18"),
        ({"model": "deeplab"}, "depth", "model deeplab"),
        ({"encoder": "timm:resnet18"}, "width", "encoder timm:resnet18"),
        ({}, "output_stride", "encoder plain"),
        ({}, "layers", "model unet"),
        ({"task": "classify"}, "encoder", "model classifier"),
    ],
)
def test_settings_that_an_encoder_does_not_use_are_refused(settings, name, user):
    with pytest.raises(InputError, match=f"^{name}=.*: is not used by the {user}; leave it out, or choose another"):
        RunConfig.with_task_defaults(**settings).check_used([name])


def test_encoders_are_named():
    description = RunConfig.model_fields["encoder"].description
    assert all(f"{name}," in description or f"{name} " in description for name in ENCODERS)
    with pytest.raises(InputError, match=r"^encoder='resnet19': must be one of plain, resnet18, .*; did you mean res"):
        RunConfig(encoder="resnet19")
    for bad in ("timm:", "tim:resnet18", ""):
        with pytest.raises(InputError, match=r"must be one of .*, timm:NAME; "):
            RunConfig(encoder=bad)


def test_limits_of_sizes():
    assert RunConfig(size=(8, MAX_TRAINING_SIDE)).size == (8, 16_384)
    with pytest.raises(InputError, match=r"size='16385': must be rows and columns, each from 8 to 16,384; use size="):
        RunConfig(size="16385")
    assert parse_size("131072") == (MAX_IMAGE_SIDE, MAX_IMAGE_SIDE)
    for text in ("131073", "0x5"):
        with pytest.raises(InputError, match=r"must be from 1 to 131,072 pixels; use size=256 or size='128x256'"):
            parse_size(text)


def test_model_must_serve_the_task():
    RunConfig(task="classify").check_model()
    RunConfig(task="segment", model="unet").check_model()
    with pytest.raises(InputError, match="model='unet': must be one of classifier, resnet for the task classify; use"):
        RunConfig(task="classify", model="unet").check_model()


def test_settings_are_immutable_and_replaced_with_a_check():
    config = RunConfig(epochs=3)
    with pytest.raises(ValidationError, match="frozen"):
        config.epochs = 4
    assert config.replace(epochs=4) == RunConfig(epochs=4)
    with pytest.raises(InputError, match="epochs=0: must be a whole number from 1"):
        config.replace(epochs=0)


def test_integers_of_numpy_are_integers():
    assert type(RunConfig(epochs=np.int64(3)).epochs) is int


def test_nested_settings_are_named_by_their_path():
    class Loss(Settings):
        smoothing: float = Field(0.1, ge=0)

    class Nested(Settings):
        loss: Loss = Loss()

    def problem(**settings):
        with pytest.raises(ValidationError) as caught:
            Nested(**settings)
        return str(InputError(*explain(Nested, caught.value)))

    assert problem(loss={"smoothing": -1}) == ("loss.smoothing=-1: must be a number from 0; use loss.smoothing=0.1")
    assert problem(loss={"smothing": 1}) == "loss.smothing=1: is an unknown setting; did you mean smoothing?"
    assert problem(loss=3) == "loss=3: must be settings; give a value of this type, or leave it out"


def test_a_setting_under_its_former_and_its_present_name_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("rate: 0.01\nlearning_rate: 0.02\n")
    with pytest.raises(FileError, match="sets both rate and learning_rate, two names of one setting; keep"):
        read_config(tmp_path / "config.yaml")


def test_dates_are_texts(tmp_path):
    (tmp_path / "a.yaml").write_text("data: 2001-01-01\n")
    assert read_config(tmp_path / "a.yaml") == {"data": "2001-01-01"}


def test_line_ends_and_byte_order_marks_are_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfepochs: 3\r\nsize: [16, 32]\r\n")
    assert read_config(tmp_path / "a.yaml") == {"epochs": 3, "size": (16, 32)}
