"""Runs of trained networks of the user's own, flat or converted to panoramas, which were not trained here."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from omniconv.convert.choice import CONVERSIONS, ConversionChoice, choose
from omniconv.convert.equirectangular import to_equirectangular
from omniconv.convert.finding import SeamWarning
from omniconv.convert.own_network import OwnNetwork, check_surface_of_flat
from omniconv.data.classes import numbered_class_names
from omniconv.data.preprocessing import IMAGE_CHANNELS, Preprocessing, default_size
from omniconv.errors import InputError, one_line, printable
from omniconv.inference.predictor import Predictor
from omniconv.models import WeightsReport, build, load_weights, save
from omniconv.models.own_code import NetworkCode, network_code
from omniconv.nn.inspection import copy_network
from omniconv.run_folder import (
    RunFolder,
    check_new_folder,
    check_run_name,
    default_run_name,
    new_run,
    remove_start,
    write_json,
)
from omniconv.runs.start import describe_environment
from omniconv.surfaces import Equirectangular, Plane, Surface, surface
from omniconv.training.callbacks import Log
from omniconv.training.settings import OWN_SETTINGS, RunConfig
from omniconv.training.starting_weights import absolute_source

TANGENT = "tangent:"
"""Start of the short name of a surface for kernels on tangent planes, ``tangent:H`` for panoramas of H rows."""
VALUE_RANGES = (1, 255)
MOST_PANORAMAS = 8
WRITTEN_SETTINGS = ("task", "data", "surface", *OWN_SETTINGS, "size", "weights", "mean", "std")
"""Settings in the config.yaml of a converted network."""


@dataclass(frozen=True)
class ImageValues:
    """Values of the images that a network takes.

    Attributes:
        largest: white: 1, or 255.
        mean: what is subtracted from them, one number or one for each channel in the order of the network.
        std: what they are divided by then.
        order: ``rgb``, ``bgr`` or ``grey``.
    """

    largest: float = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "rgb"

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation by which RGB values from 0 to 1 become those of the network.

        Raises:
            InputError: another number of values than channels, or one that is out of range.

        Example:
            >>> ImageValues(255, mean=(127.5,), std=(128.0,)).normalization()
            ((0.5, 0.5, 0.5), (0.5019607843137255, 0.5019607843137255, 0.5019607843137255))
        """
        if self.largest not in VALUE_RANGES:
            raise InputError("value_range", self.largest, "must be 1 or 255, the value of white", "use value_range=255")
        channels = 1 if self.order == "grey" else IMAGE_CHANNELS
        values = []
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            valid = len(numbers) in (1, channels) and all(np.isfinite(numbers))
            if not valid or (name == "std" and min(numbers) <= 0):
                count = "one number" if channels == 1 else f"one number, or {channels} with commas between them"
                rule = f"must be {count}{', above 0' if name == 'std' else ''}, in the units of the network"
                raise InputError(name, ",".join(map(str, numbers)), rule, f"use {name}='0.5,0.5,0.5'")
            spread = numbers if len(numbers) == IMAGE_CHANNELS else numbers * IMAGE_CHANNELS
            in_rgb = spread[::-1] if self.order == "bgr" else spread
            values.append(tuple(value / self.largest for value in in_rgb))
        return values[0], values[1]


def convert_network(
    network: Any,
    *,
    task: str = "segment",
    weights: Any = None,
    surface: str | Surface | None = None,
    poles: str = "flat",
    panoramas: Sequence[str | Path] = (),
    classes: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    values: ImageValues = ImageValues(),
    output_key: str | None = None,
    name: str | None = None,
    out: str | None = None,
    log: Log = print,
) -> RunFolder:
    """Write a trained flat network, converted to panoramas or as it is, as a run that every command takes.

    Everything is checked, and the network runs once, before anything is written.

    Args:
        network: ``package.module:callable``, or a module or function; see ``omniconv.models.own_code.network_code``.
        task: task of the network.
        weights: its weights, as ``oc.models.load_weights`` takes them; by default those that its code makes.
        surface: ``plane``, where the network stays flat; ``equirectangular``; or ``tangent:H``. By default the best
            conversion by ``oc.convert.choose`` on ``panoramas``, or ``equirectangular`` without them.
        poles: values above and below panoramas, as in ``oc.convert.to_equirectangular``.
        panoramas: image files of whole panoramas, to choose the conversion; the first ``MOST_PANORAMAS`` count.
        classes: names of the classes; by default they are numbered.
        size: rows and columns that images are resized to; by default 256 × 256, on a sphere 256 × 512.
        values: values of the images that the network takes.
        output_key: key or index of its output, if it returns several.
        name: name of the run's folder in ``runs/``; by default that of the network.
        out: folder of the run, instead of ``runs/NAME``.
        log: called with lines of text for the user.

    Raises:
        InputError: an argument, the network, its weights or its output cannot be used.
        FileError: a file cannot be read, or the folder is not empty.
    """
    check_run_name(name, out)
    code = network_code(network)
    folder_name = name or default_run_name(code.rpartition(":")[2])
    check_new_folder(folder_name, out)
    config = RunConfig(
        task=task, network=str(code), poles=poles, channel_order=values.order, output_key=output_key, size=size or ()
    )
    mean, std = values.normalization()
    chosen = _parse_surface(surface) if surface is not None else None
    choice = None
    if chosen is None and panoramas:
        choice = _choose(config, code, weights, panoramas, (mean, std))
        chosen, poles = _surface_of(choice)
        config = config.replace(poles=poles)
        for line in str(choice).splitlines():
            log(line)
    chosen = chosen or Equirectangular()
    config = config.replace(surface=str(chosen), size=_size(config, chosen))
    own, report, names = _build(config, code, weights, tuple(classes))
    own.check_output(config.size)
    preprocessing = Preprocessing(chosen, (config.size[0], config.size[1]), mean, std)
    own.preprocessing = {"task": task, "classes": list(names), "preparation": preprocessing.to_json()}
    Predictor(copy_network(own), "cpu")  # type: ignore[arg-type]  # checks that it fits its task
    seams = _seams(own, config) if chosen != Plane() else []
    config = config.replace(mean=mean, std=std, weights=_path_of(weights))
    with new_run(folder_name, out) as run:
        try:
            config.write(run.config, WRITTEN_SETTINGS)
            write_json(run.environment, describe_environment())
            if report is not None:
                write_json(run.weights, report.to_json())
            if choice is not None:
                write_json(run.conversions, choice.as_dict())
            save(own, run.model)
            with suppress(OSError):
                run.checkpoint.parent.rmdir()
        except BaseException:
            remove_start(run)
            raise
    for line in _summary(own, report, names, seams):
        log(printable(line))
    return run


def _parse_surface(name: str | Surface) -> Surface:
    """Return the surface of a short name, also of ``tangent:H``."""
    if isinstance(name, str) and name.startswith(TANGENT):
        rows = name.removeprefix(TANGENT)
        if not rows.isdecimal():
            raise InputError("surface", name, "must name the rows of the panoramas", "write tangent:256")
        return Equirectangular(height=int(rows), kernels="tangent")
    parsed = surface(name)
    check_surface_of_flat(parsed)
    return parsed


def _path_of(weights: Any) -> str:
    """Return the path of a file of weights; empty for others."""
    return absolute_source(str(weights)) if isinstance(weights, str | Path) else ""


def _surface_of(choice: ConversionChoice) -> tuple[Surface, str]:
    """Return the surface and the poles of a recommended conversion."""
    name = choice.recommended
    if name == "tangent":
        return Equirectangular(height=choice.size[0], kernels="tangent"), "flat"
    return (Plane(), "flat") if name == "flat" else (Equirectangular(), name.removeprefix("poles="))


def _size(config: RunConfig, chosen: Surface) -> tuple[int, int]:
    if chosen.any_size:
        rows, columns = config.size or default_size(chosen, [])
        return rows, columns
    fixed = tuple(length or 0 for length in chosen.shape)
    if config.size and tuple(config.size) != fixed:
        rule = f"is not that of {chosen}, {fixed[0]}x{fixed[1]}"
        raise InputError("size", "{}x{}".format(*config.size), rule, "leave it out")
    return fixed[0], fixed[1]


def _build(
    config: RunConfig, code: NetworkCode, weights: Any, classes: tuple[str, ...]
) -> tuple[OwnNetwork, WeightsReport | None, tuple[str, ...]]:
    """Return the network with its weights, what was loaded, and the names of its classes."""
    names = classes
    if not names and config.task_object.has_classes:
        names = numbered_class_names(_count_outputs(config, code, weights))
    arguments = config.network_arguments(IMAGE_CHANNELS, names) | {"network": code}
    own: Any = build(config.model_name, arguments)
    report = None if weights is None else _load(own.network, weights)
    return own.eval(), report, names


def _count_outputs(config: RunConfig, code: NetworkCode, weights: Any) -> int:
    """Return the number of channels that a network returns; two for one score of two classes."""
    arguments = config.network_arguments(IMAGE_CHANNELS, ("",)) | {"network": code}
    own: Any = build(config.model_name, arguments)
    if weights is not None:
        _load(own.network, weights)
    return max(2, own.count_channels(config.size))


def _load(network: nn.Module, weights: Any) -> WeightsReport:
    """Load all weights of a trained network; nothing may be adapted or left out."""
    report = load_weights(network, weights)
    for what, entries in (("has no place for", report.dropped), ("lacks", report.kept), ("changes", report.adapted)):
        if entries:
            rule = f"are not those of the network, which {what} {', '.join(entries[:3])}"
            raise InputError("weights", report.origin, rule, "give the weights that it was trained to")
    return report


def _choose(
    config: RunConfig,
    code: NetworkCode,
    weights: Any,
    panoramas: Sequence[str | Path],
    normalization: tuple[tuple[float, ...], tuple[float, ...]],
) -> ConversionChoice:
    """Measure the conversions on panoramas of the user."""
    if config.task_object.output == "global":
        rule = "choose a conversion of networks with an output for each pixel"
        raise InputError("panoramas", config.task, rule, "give a surface, such as surface='equirectangular'")
    height, width = config.size or default_size(Equirectangular(), [])
    if width != 2 * height:
        rule = "must be twice as wide as high to choose a conversion by panoramas"
        raise InputError("size", f"{height}x{width}", rule, f"use size='{height}x{2 * height}'")
    flat, _, _ = _build(config.replace(surface="plane", poles="flat", size=(height, width)), code, weights, ())
    preprocessing = Preprocessing(Equirectangular(), (height, width))
    images = np.stack([preprocessing.image(path) for path in panoramas[:MOST_PANORAMAS]])
    mean, std = (torch.tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in normalization)
    inputs = flat.network_input((torch.from_numpy(images) - mean) / std)
    labels = None if config.task_object.has_classes else False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=SeamWarning)  # what a seam changes is measured
        return choose(flat.network, inputs, tuple(CONVERSIONS), classes=labels, output=flat.output_key)


def _seams(own: OwnNetwork, config: RunConfig) -> list[str]:
    """Return what leaves a seam in a converted network; a note if it cannot be traced."""
    flat = copy_network(own.network)
    example = own.network_input(own.example_inputs(config.size)[0])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=SeamWarning)
            _, found = to_equirectangular(flat, report=True, example=example)
    except InputError as error:
        return [f"whether a seam is left is not known ({one_line(error)})"]
    return [f"leaves a seam: {finding}; {finding.cure}".rstrip("; ") for finding in found.seams]


def _summary(own: OwnNetwork, report: WeightsReport | None, names: Sequence[str], seams: Sequence[str]) -> list[str]:
    parameters = sum(parameter.numel() for parameter in own.parameters())
    size = "{}x{}".format(*own.preprocessing["preparation"]["size"])
    poles = f", converted with poles={own.arguments['poles']}" if own.surface == Equirectangular() else ""
    name = "equirectangular" if poles else str(own.surface)
    lines = [f"network: {own.code}, {parameters:,} parameters", f"surface: {name}{poles}, images of {size}"]
    lines += [f"weights: {line}" for line in str(report).splitlines()] if report else ["weights: those of its code"]
    return [*lines, *([f"classes: {', '.join(names)}"] if names else []), *seams]
