"""Weights that a training starts from. They are loaded once: a run keeps them until its first checkpoint has them."""

from __future__ import annotations

from dataclasses import replace

from omniconv.errors import FileError, InputError, printable
from omniconv.files import real_path
from omniconv.models import Model, WeightsReport, load, load_weights, save
from omniconv.models.weights.loading import UNFITTING_CURE
from omniconv.models.weights.sources import PUBLISHERS
from omniconv.nn.inspection import preserved_random_state
from omniconv.run_folder import RunFolder, write_json
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.settings import RunConfig


def check_weights_settings(config: RunConfig) -> None:
    """Check the settings of weights and normalization against each other, without reading the weights.

    Raises:
        InputError: two sources of weights; only one of mean and standard deviation; frozen random weights, or weights
            that are frozen in all epochs.
    """
    if config.weights and config.encoder_weights:
        rule = "cannot be given with weights, which have an encoder"
        raise InputError("encoder_weights", config.encoder_weights, rule, "give one of them")
    for name, other in (("mean", "std"), ("std", "mean")):
        if getattr(config, name) and not getattr(config, other):
            value = ",".join(map(str, getattr(config, name)))
            raise InputError(name, value, f"needs {other}, too", "give both or none")
    if config.freeze and not (config.weights or config.encoder_weights):
        rule = "would freeze random weights"
        raise InputError("freeze", config.freeze, rule, "give weights or encoder_weights, or leave it out")
    if config.freeze >= config.epochs:
        rule = f"must be less than the number of epochs, {config.epochs}"
        raise InputError("freeze", config.freeze, rule, "freeze fewer epochs, or train more")


def load_starting_weights(network: Model, config: RunConfig) -> WeightsReport | None:
    """Load the weights of the settings into a network; ``None`` if the settings name none.

    The normalization of the weights becomes that of the network, unless the settings have one.

    Raises:
        InputError: as ``load_weights``, with the setting that names the weights.
        FileError: the file cannot be read.
    """
    name = "weights" if config.weights else "encoder_weights"
    source = getattr(config, name)
    if not source:
        return None
    target = network.flat_network if name == "weights" else network.get_submodule("encoder")
    try:
        with preserved_random_state():  # timm builds a network with random weights
            report = load_weights(target, source)
    except FileError:
        raise
    except InputError as error:
        has_encoder = name == "weights" and "encoder" in network.backbone_names
        encoder = ", or those of its encoder alone by encoder_weights" if has_encoder else ""
        cure = f"give weights of the same architecture{encoder}" if error.cure == UNFITTING_CURE else error.cure
        raise InputError(name if error.argument == "weights" else error.argument, source, error.rule, cure) from error
    if config.mean:
        report.normalization = {"mean": list(config.mean), "std": list(config.std)}
    if report.normalization:
        network.input_normalization = report.normalization
    return report


def with_normalization(splits: DatasetSplits, network: Model) -> DatasetSplits:
    """Return samples of a run whose preprocessing has the normalization of the network."""
    normalization = network.input_normalization
    if normalization is None:
        return splits
    mean, std = (tuple(map(float, normalization[name])) for name in ("mean", "std"))
    return replace(splits, preprocessing=replace(splits.preprocessing, mean=mean, std=std))


def describe_weights(report: WeightsReport) -> str:
    """Return what was loaded, in a line."""
    known = report.normalization is not None
    unknown = "their normalization is not known, so images are normalized by their own mean and standard deviation"
    return printable("; ".join([*str(report).splitlines(), *([] if known else [unknown])]))


def write_starting_weights(run: RunFolder, network: Model, report: WeightsReport) -> None:
    """Write the network with its weights, whose source is not needed again, and what was loaded."""
    save(network, run.start)
    write_json(run.weights, report.to_json())


def read_starting_weights(run: RunFolder, network: Model) -> bool:
    """Load the weights that a run without a checkpoint starts from; False if it has not kept any.

    Raises:
        FileError: the file is damaged or of another network.
    """
    if not run.start.is_file():
        return False
    kept = load(run.start, network=network.code)
    if (type(kept), kept.arguments) != (type(network), network.arguments):
        rule = "has another network than config.yaml describes"
        raise FileError(run.start, rule, "restore config.yaml, or start a new run")
    network.load_state_dict(kept.state_dict())
    if kept.input_normalization:
        network.input_normalization = kept.input_normalization
    return True


def absolute_source(source: str) -> str:
    """Return a setting of weights with the absolute path of a file."""
    return source if source in ("", *PUBLISHERS) else str(real_path(source))
