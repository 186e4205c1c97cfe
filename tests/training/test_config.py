from __future__ import annotations

from dataclasses import fields

import pytest
import yaml

from omniconv.errors import FileError, InputError
from omniconv.training.settings import RunConfig, parse_names, parse_size, read_config

OTHER = {
    "task": "classify",
    "data": "/data/Grüße: 1 # 2/it's",
    "surface": "equirectangular:poles=zeros",
    "model": "classifier",
    "width": 7,
    "depth": 2,
    "down": "max",
    "up": "transposed",
    "size": (17, 31),
    "epochs": 3,
    "repeat": 4,
    "batch_size": 5,
    "learning_rate": 1e-5,
    "weight_decay": 0.1 + 0.2,
    "augment": ("turn", "colour"),
    "validation": 1 / 3,
    "patience": 6,
    "balance": True,
    "binary": True,
    "skip_bad": True,
    "seed": 2**40 + 1,
    "precision": "16",
    "device": "cpu",
    "workers": 2,
}


def round_trip(config, path):
    config.write(path)
    return RunConfig(**read_config(path))


def test_every_field_has_another_value_here():
    assert list(OTHER) == [field.name for field in fields(RunConfig)]
    assert all(OTHER[field.name] != field.default for field in fields(RunConfig))


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


def test_the_file_says_what_each_setting_means(tmp_path):
    RunConfig().write(tmp_path / "config.yaml")
    lines = (tmp_path / "config.yaml").read_text().splitlines()
    for index, field in enumerate(fields(RunConfig)):
        assert lines[2 * index] == f"# {field.metadata['help']}"
        assert lines[2 * index + 1].startswith(f"{field.name}: ")


def test_what_is_missing_keeps_its_default(tmp_path):
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


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("epoch: 3", "has an unknown setting 'epoch'; did you mean epochs?"),
        ("surfce: plane", "has an unknown setting 'surfce'; did you mean surface?"),
        ("qqq: 1", "has an unknown setting 'qqq'; did you mean one of task, data"),
        ("1: 1", "has an unknown setting 1; did you mean one of"),
        ("epochs: many", "has epochs: 'many', which is no"),
        ("epochs: 2.5", "has epochs: 2.5, which is no"),
        ("epochs: true", "has epochs: True, which is no"),
        ("epochs: null", "has epochs: None, which is no"),
        ("binary: 1", "has binary: 1, which is no"),
        ("learning_rate: fast", "has learning_rate: 'fast', which is no"),
        ("augment: 3", "has augment: 3, which is no"),
        ("size: [a, b]", "has size: ['a', 'b'], which is no"),
        ("surface: [plane]", "has surface: ['plane'], which is no"),
        ("- 1\n- 2", "must hold settings"),
        ("", "must hold settings"),
        ("epochs: [", "is no YAML"),
        ("epochs: !!python/object/apply:os.getcwd []", "is no YAML"),
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
    with pytest.raises(FileError, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FileError, match="cannot be read"):
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
    assert f"use --{name.replace('_', '-')}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [("task", "segmnt", "segment"), ("task", "clasify", "classify"), ("precision", "fb16", "bf16"),
     ("device", "cud", "cuda"), ("device", "gpu", "cpu")],
)  # fmt: skip
def test_choices_name_the_nearest(name, value, near):
    with pytest.raises(InputError, match=rf"^{name}='{value}': must be one of .*; did you mean {near}\?$"):
        RunConfig(**{name: value})


def test_sizes_in_words():
    assert parse_size("256") == (256, 256)
    assert parse_size("128x256") == parse_size("128X256") == (128, 256)
    for text in ("", "x", "1x2x3", "a", "-5", "12.5", "128 x", "0x10x"):
        with pytest.raises(InputError, match=r"must be N or HxW in pixels; use --size 256 or --size 128x256"):
            parse_size(text)


def test_names_in_words():
    assert parse_names("none") == parse_names("") == ()
    assert parse_names("flip") == ("flip",)
    assert parse_names("turn, colour,") == ("turn", "colour")


def test_plain_is_plain():
    plain = RunConfig(**OTHER).plain()
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


def test_network_arguments():
    assert RunConfig().network == "unet"
    assert RunConfig(task="classify").network == "classifier"
    assert "up" not in RunConfig(task="classify").network_arguments(2)
    assert RunConfig(width=3).network_arguments(5) == {
        "in_channels": 3, "out_channels": 5, "width": 3, "depth": 3, "down": "stride", "surface": "plane",
        "up": "linear",
    }  # fmt: skip
