"""Everything that decides what a run does, resolved, in one readable file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from omniconv.errors import FileError, InputError, truncate
from omniconv.files import atomic_write

TASKS = ("classify", "segment")
MODELS = {"classify": "classifier", "segment": "unet"}
PRECISIONS = ("32", "bf16", "16")
DEVICES = ("auto", "cpu", "cuda")

LARGEST = 16384
RANGES = {
    "epochs": (1, 1_000_000), "repeat": (1, 1_000_000), "batch_size": (1, 65_536), "patience": (0, 1_000_000),
    "workers": (0, 64), "seed": (0, 2**200),
}  # fmt: skip


FORMER_NAMES = {"rate": "learning_rate", "decay": "weight_decay", "batch": "batch_size"}
"""Settings that had other names in config.yaml; still read there, and still options of the command line."""


def option(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + name.replace("_", "-")


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class RunConfig:
    """The settings of a training run; the field's texts are the help of the command line.

    ``None`` and ``()`` mean "decide from the data"; a run's ``config.yaml`` holds what was decided.
    """

    task: str = _setting("segment", "classify (a folder per class) or segment (images/ and masks/)")
    data: str = _setting("", "the folder of images")
    surface: str = _setting(
        "plane",
        "plane, equirectangular, icosphere:LEVEL, icosahedron:LEVEL, healpix:NSIDE or cubemap:SIZE; options as in "
        "plane:border=reflect",
    )
    model: str | None = _setting(None, "unet or classifier; by default what fits the task")
    width: int = _setting(16, "channels of the network at full size")
    depth: int = _setting(3, "steps down in size")
    down: str = _setting("stride", "stride, max or average: how the network goes down")
    up: str = _setting("linear", "linear or transposed: how a unet goes up")
    size: tuple[int, ...] = _setting((), "N or HxW: pixels that images are brought to; by default from the data")
    epochs: int = _setting(20, "times that every image is seen")
    repeat: int = _setting(1, "draw each image so many times an epoch (useful for few images)")
    batch_size: int = _setting(8, "images in a step")
    learning_rate: float = _setting(2e-3, "learning rate at its highest")
    weight_decay: float = _setting(1e-4, "weight decay")
    augment: tuple[str, ...] | None = _setting(
        None, "flip,turn,rotate,colour or none; by default turn on a sphere, flip for flat segmentation"
    )
    validation: float = _setting(0.2, "share of the images held out to measure, where the folder has no val/")
    patience: int = _setting(0, "stop after so many epochs without gain; 0 never stops early")
    balance: bool = _setting(False, "weigh rare classes up in the loss, by 1 / ln(1.02 + share)")
    binary: bool = _setting(False, "masks are 0 and 255, and 255 marks class 1 instead of being ignored")
    skip_bad: bool = _setting(False, "leave out images and masks that cannot be read instead of stopping")
    seed: int = _setting(0, "of every random choice")
    precision: str = _setting("32", "32, bf16 or 16 (mixed)")
    device: str = _setting("auto", "auto, cpu or cuda")
    workers: int = _setting(0, "processes that load images beside the training")

    def __post_init__(self) -> None:
        _check_choice("task", self.task, TASKS)
        _check_choice("model", self.network, tuple(sorted(MODELS.values())))
        if self.network != MODELS[self.task]:
            raise InputError("model", self.network, f"does not {self.task}", f"use --model {MODELS[self.task]}")
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("device", self.device, DEVICES)
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value < least:
                raise InputError(name, value, f"must be at least {least}", f"use {option(name)} {least} or more")
            if value > most:
                raise InputError(name, value, f"must be at most {most:,}", f"use {option(name)} {most} or less")
        if not 0 < self.learning_rate < 10:
            rule = "must be above 0 and below 10"
            raise InputError("learning_rate", self.learning_rate, rule, "use --learning-rate 0.002")
        if not 0 <= self.weight_decay < 10:
            rule = "must be at least 0 and below 10"
            raise InputError("weight_decay", self.weight_decay, rule, "use --weight-decay 0.0001")
        if self.seed >= 2**63:
            raise InputError("seed", self.seed, "must be below 2⁶³", "use --seed 0")
        if self.size and max(self.size) > LARGEST:
            raise InputError("size", self.size, f"must be at most {LARGEST:,} on each side", "use --size 512")
        if self.size and (len(self.size) != 2 or min(self.size) < 8):
            raise InputError(
                "size", self.size, "must be rows and columns, each at least 8", "use --size 256 or 128x256"
            )

    @property
    def network(self) -> str:
        """The network's name."""
        return self.model or MODELS[self.task]

    def network_arguments(self, classes: int) -> dict[str, Any]:
        """What the network is built with, for colour pictures and this number of classes."""
        names = ("width", "depth", "down", "surface", *(["up"] if self.network == "unet" else []))
        return {"in_channels": 3, "out_channels": classes} | {name: getattr(self, name) for name in names}

    def plain(self) -> dict[str, Any]:
        """Numbers, texts and lists only."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def write(self, path: Path) -> None:
        """Write as YAML, each setting with what it means above it."""
        with atomic_write(path, "w") as file:
            for setting in fields(self):
                file.write(f"# {setting.metadata['help']}\n")
                value = yaml.safe_dump(self.plain()[setting.name], default_flow_style=True, width=1000)
                file.write(f"{setting.name}: {value.removesuffix('...' + chr(10)).strip()}\n")


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, checked to be settings; what is missing keeps its default.

    Raises:
        FileError: no such file, no YAML, or an unknown setting (the nearest one is named).
    """
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise FileError(path, f"cannot be read ({reason.lower()})", "give the config.yaml of a run") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise FileError(path, f"is no YAML ({truncate(' '.join(str(error).split()))})", "mend that line") from error
    if not isinstance(loaded, dict):
        raise FileError(path, "must hold settings, one 'name: value' a line", "give the config.yaml of a run")
    loaded = {FORMER_NAMES.get(name, name): value for name, value in loaded.items()}
    known = {setting.name: setting for setting in fields(RunConfig)}
    for name in loaded:
        if name not in known:
            near = get_close_matches(str(name), known, n=1) or ["one of " + ", ".join(known)]
            raise FileError(path, f"has an unknown setting {name!r}", f"did you mean {near[0]}?")
    return {name: _checked(path, name, value) for name, value in loaded.items()}


LARGEST = 2**17
"""Rows or columns of a picture."""


def parse_size(text: str) -> tuple[int, int]:
    """``256`` or ``128x256`` as rows and columns."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError("size", text, "must be N or HxW in pixels", "use --size 256 or --size 128x256")
    rows, columns = int(parts[0]), int(parts[-1])
    if not (1 <= rows <= LARGEST and 1 <= columns <= LARGEST):
        raise InputError("size", text, f"must be from 1 to {LARGEST} pixels", "use --size 256 or --size 128x256")
    return rows, columns


def parse_names(text: str) -> tuple[str, ...]:
    """``flip,colour`` as a tuple; ``none`` is empty."""
    return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())


WORDS = {
    "int": "whole number", "float": "number", "bool": "true or false", "str": "text", "str | None": "text",
    "tuple[int, ...]": "pair of whole numbers", "tuple[str, ...] | None": "list of words",
}  # fmt: skip
_KINDS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "tuple[int, ...]": lambda value: isinstance(value, list) and all(isinstance(part, int) for part in value),
    "tuple[str, ...] | None": lambda value: (
        value is None or (isinstance(value, list) and all(isinstance(part, str) for part in value))
    ),
}


def _checked(path: str | Path, name: str, value: Any) -> Any:
    kind = next(setting.type for setting in fields(RunConfig) if setting.name == name)
    if name == "size" and isinstance(value, (int, str)):
        return parse_size(str(value))
    if name == "precision":
        value = str(value)
    if kind == "float" and isinstance(value, str):  # YAML takes 1e-3 for a word
        value = _as_float(value)
    if not _KINDS[str(kind)](value):
        raise FileError(
            path, f"has {name}: {truncate(repr(value))}, which is no {WORDS[str(kind)]}", "correct the value"
        )
    return tuple(value) if isinstance(value, list) else value


def _as_float(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = get_close_matches(str(value), choices, n=1) or [choices[0]]
        raise InputError(name, value, f"must be one of {', '.join(choices)}", f"did you mean {near[0]}?")
