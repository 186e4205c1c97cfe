"""``load_weights``: weights of flat networks for a network on any surface."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import check_flag
from omniconv.errors import InputError, pluralize, truncate
from omniconv.models.base import Model
from omniconv.models.storage import tensor_file
from omniconv.models.weights.kernels import kernel_map
from omniconv.models.weights.sources import Weights, read_weights
from omniconv.nn import Conv
from omniconv.nn.arguments import is_grid

MAX_LISTED = 6
"""Most tensors that an error lists; a report lists all."""
UNFITTING_CURE = "give weights of the same architecture, or skip=True to leave these out"
IMAGE_CHANNELS = 3
"""Input channels of published weights, whose first convolution is adapted to others."""


@dataclass
class WeightsReport:
    """Result of ``load_weights``: what was loaded, converted and left out; ``str`` is a text of a few lines.

    Attributes:
        origin: file or publisher of the weights.
        loaded: names of the tensors that were loaded.
        errors: relative error ‖K − K̂‖ / ‖K‖ of each convolution whose kernels were converted to a mesh, by name;
            all other tensors are exact.
        adapted: the first convolution, if its input channels were adapted, and how.
        dropped: tensors that the network has no place for, with their shapes: those of the last layer if its number of
            classes differs or the network has no such layer, and those of parts that the network lacks, such as a
            decoder.
        skipped: further tensors of the weights that do not fit, with their shapes; empty unless ``skip`` was given.
        kept: tensors of the network without weights, which keep their values, with their shapes.
        normalization: ``mean`` and ``std`` of the images that the weights were trained with, if known.
    """

    origin: str
    loaded: list[str] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    adapted: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    normalization: dict[str, list[float]] | None = None

    def __str__(self) -> str:
        lines = [f"{pluralize(len(self.loaded), 'tensor')} from {self.origin}"]
        if self.errors:
            mean = sum(self.errors.values()) / len(self.errors)
            lines.append(
                f"{pluralize(len(self.errors), 'convolution')} converted to the mesh, relative errors "
                f"{min(self.errors.values()):.2f} to {max(self.errors.values()):.2f}, {mean:.2f} on average"
            )
        parts = {"adapted": self.adapted, "dropped": _by_part(self.dropped), "skipped": self.skipped, "kept": self.kept}
        lines += [f"{name}: {', '.join(entries)}" for name, entries in parts.items() if entries]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the content of a run's ``weights.json``."""
        return asdict(self)


def load_weights(
    network: nn.Module,
    weights: str | PathLike[str] | Mapping[str, Any],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    skip: bool = False,
) -> WeightsReport:
    """Load weights of a flat network of the same architecture, and convert its kernels to the network's surface.

    Names are compared without a prefix, such as ``module.``, ``backbone.`` or ``module.encoder_q.``: of several the one
    below which most names are those of the network. Weights of grids, cube maps and tangent kernels are those of flat
    kernels. On a mesh, kernels of more than one sample are converted: on HEALPix they are resampled to its grid, which
    is turned by 45°; on an icosphere fitted to its four operators, which lack the second derivatives across; on an
    icosahedron fitted to the places of its ten taps, which keep only the part that is symmetric under rotation by 180°,
    since the taps are rotated so on every other face. Sums of kernels are kept. The report has the relative error of
    each layer: about 0.4, 0.9 and 0.75 for trained 3×3 kernels on the three meshes, so that a converted network is a
    start for training, not a replacement. All other tensors are loaded exactly.

    If the network has other input channels than the three of the first convolution, its kernels are summed (one
    channel) or repeated and scaled by 3/n (n channels), as in timm. The last layer is left out where its number of
    classes differs, or where the network has none, and so are parts that the network lacks, such as the decoder beside
    an encoder; the report lists them. Everything else must fit: no tensor of the network may be missing but those of
    its last layer.

    Args:
        network: a network, such as ``oc.models.ResNet``, or an encoder, such as ``unet.encoder``; it is changed only
            if everything fits.
        weights: a ``.safetensors`` file (also of ``oc.save``), the folder of a run, a ``.pth``, ``.pt``, ``.bin`` or
            ``.ckpt`` file with tensors only, a state dict, or ``torchvision`` or ``timm``, whose weights for ImageNet
            are downloaded. Checkpoints with the weights below ``state_dict``, ``model`` or similar keys are accepted.
        mean: mean of each channel of the images that the weights were trained with, in 0 … 1; known for downloads and
            for runs.
        std: standard deviation of each channel.
        skip: leave out tensors that do not fit, and list them in the report, instead of raising an error.

    Returns:
        A report. Its normalization becomes the ``input_normalization`` of a ``Model``.

    Raises:
        InputError: tensors that do not fit, with their names and shapes; weights that cannot be downloaded; NaN or
            infinity in the weights.
        FileError: the file cannot be read, or holds a pickled network instead of weights.

    Example:
        >>> from omniconv.models import ResNet
        >>> from omniconv.surfaces import Healpix
        >>> flat, network = ResNet(3, 10, width=4), ResNet(1, 5, Healpix(32), width=4)
        >>> report = load_weights(network, flat.state_dict())
        >>> report.dropped
        ['fc.weight (10, 32)', 'fc.bias (10,)']
        >>> 0.2 < report.errors["layer1.0.conv1"] < 0.7
        True
    """
    skip = check_flag("skip", skip)
    if not isinstance(network, nn.Module):
        raise InputError("network", type(network).__name__, "must be a network", "build it first")
    own = network.state_dict()
    read = read_weights(network, weights)
    if fault := tensor_file.non_finite(read.state):
        raise InputError("weights", read.origin, f"cannot be used: {fault}", "give weights with finite values")
    channels = network.arguments.get("in_channels") if isinstance(network, Model) else None
    given = _normalization(mean, std, channels) or _for_channels(read.normalization, channels)
    report = WeightsReport(read.origin, normalization=given)
    state = _with_own_names(read, own, report)
    last = _last_layer(state), _last_layer(own)
    wrapper = _common_prefix(own)
    parts = {name.partition(".")[0] for key in own for name in (key, key.removeprefix(wrapper))}
    first = next((key for key, value in state.items() if value.ndim > 2), None)
    fitting: dict[str, Tensor] = {}
    for key, value in state.items():
        converted = _convert(network, key, value, own, key == first, report) if key in own else None
        if converted is not None:
            fitting[key] = converted
        elif _is_left_out(key, value, last, own) or key.partition(".")[0] not in parts:
            report.dropped.append(_with_shape(key, value))
        else:
            expected = f", not {tuple(own[key].shape)}" if key in own else ""
            report.skipped.append(_with_shape(key, value) + expected)
    report.loaded = list(fitting)
    # Old files lack the counters of batch normalization, which only matter without a momentum.
    kept = [key for key in own if key not in fitting and not key.endswith("num_batches_tracked")]
    report.kept = [_with_shape(key, own[key]) for key in kept]
    missing = [key for key in kept if key not in state and key.rpartition(".")[0] not in last]
    unfitting = [*report.skipped, *(f"{_with_shape(key, own[key])} is missing" for key in missing)]
    if not fitting and (skip or not any(key in own for key in state)):
        theirs, mine = (_listed(map(_with_shape, tensors, tensors.values())) for tensors in (read.state, own))
        rule = f"has no tensor with a name and shape of the network: it has {theirs}; the network {mine}"
        raise InputError("weights", read.origin, rule, UNFITTING_CURE)
    if unfitting and not skip:
        rule = f"has tensors that do not fit the network: {_listed(unfitting, MAX_LISTED)}"
        raise InputError("weights", read.origin, rule, UNFITTING_CURE)
    network.load_state_dict(fitting, strict=False)
    if isinstance(network, Model) and report.normalization:
        network.input_normalization = report.normalization
    return report


def _convert(
    network: nn.Module, key: str, value: Tensor, own: Mapping[str, Tensor], is_first: bool, report: WeightsReport
) -> Tensor | None:
    """Return a tensor of the weights with the shape of the network's own, ``None`` if it does not fit."""
    target, (name, _, _) = own[key], key.rpartition(".")
    layer = network.get_submodule(name)
    if is_first and value.ndim == 4 and target.ndim > 2:
        value = _adapt_channels(key, value, target.shape[1], report)
    if value.shape == target.shape:
        return value
    if not isinstance(layer, Conv) or value.ndim != 4 or value.shape[:2] != target.shape[:2]:
        return None
    if is_grid(layer.surface) or layer.surface.weights_have_rows:
        return None
    kernel_size = int(layer.kernel_size)  # type: ignore[arg-type]  # one number on a mesh
    if value.shape[2:] == (1, 1) == (kernel_size, kernel_size):
        return value.flatten(2)
    if 1 in (kernel_size, *value.shape[2:]):
        return None
    kernels = value.double().numpy()
    to_mesh = kernel_map(layer.surface, (value.shape[2], value.shape[3]), kernel_size)
    report.errors[name] = to_mesh.relative_error(kernels)
    return torch.from_numpy(to_mesh.convert(kernels)).reshape(target.shape)


def _adapt_channels(key: str, weight: Tensor, channels: int, report: WeightsReport) -> Tensor:
    """Return the kernels of the first convolution for another number of input channels, as timm adapts them."""
    if weight.shape[1] != IMAGE_CHANNELS or channels == IMAGE_CHANNELS:
        return weight
    if channels == 1:
        report.adapted.append(f"{key}: the sum of its three input channels")
        return weight.sum(1, keepdim=True)
    report.adapted.append(f"{key}: its three input channels repeated for {channels}, times 3/{channels}")
    repeats = [1, math.ceil(channels / IMAGE_CHANNELS), *[1] * (weight.ndim - 2)]
    return weight.repeat(repeats)[:, :channels] * (IMAGE_CHANNELS / channels)


def _with_own_names(read: Weights, own: Mapping[str, Any], report: WeightsReport) -> dict[str, Tensor]:
    """Return the part of a state dict that has the names of a network, under these; the report lists the others.

    The part is what follows the prefix below which most names are the network's own, where ``_`` counts as ``.``:
    encoders of timm call the first block of ``stages`` ``stages_0``. If no name is found, all names of the network may
    have a prefix of their own, as those of a network in a wrapper have.
    """
    names: dict[str, str] = {}
    prefix = ""
    for wrapper in ("", _common_prefix(own)):
        names = {key.removeprefix(wrapper).replace(".", "_"): key for key in own}
        counts: Counter[str] = Counter({"": 0})
        for key in read.state:
            parts = key.split(".")
            suffixes = ((".".join(parts[:n]), "_".join(parts[n:])) for n in range(len(parts)))
            counts.update(f"{prefix}." if prefix else "" for prefix, suffix in suffixes if suffix in names)
        prefix, count = counts.most_common(1)[0]
        if count:
            break
    found = {}
    for key, value in read.state.items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            found[name if name in own else names.get(name.replace(".", "_"), name)] = value
        else:
            report.dropped.append(_with_shape(key, value))
    return {key: found[key] for key in own if key in found} | found  # safetensors files are sorted by name


def _common_prefix(names: Iterable[str]) -> str:
    """Return the first parts of names that all of them share, with the dot at their end."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return "".join(f"{column[0]}." for column in takewhile(lambda column: len(set(column)) == 1, columns))


def _last_layer(state: Mapping[str, Tensor]) -> str:
    """Return the name of the layer of the last weight."""
    weights = [key for key, value in state.items() if key.endswith("weight") and value.ndim > 1]
    return weights[-1].rpartition(".")[0] if weights else ""


def _is_left_out(key: str, value: Tensor, last: tuple[str, str], own: Mapping[str, Tensor]) -> bool:
    """Return True for tensors of the last layer if the network has other classes, or no linear layer at the end.

    ``last`` names the last layers of the weights and of the network, which may be several layers in the weights.
    """
    if key not in own:
        return key.startswith(f"{last[1]}.") or (key.rpartition(".")[0] == last[0] and value.ndim <= 2)
    # Classes are the first axis, of a transposed convolution the second one.
    differ = [mine != given for mine, given in zip(own[key].shape[:2], value.shape[:2], strict=False)]
    return key.rpartition(".")[0] in last and sum(differ) == 1


def _normalization(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int | None
) -> dict[str, list[float]] | None:
    if mean is None and std is None:
        return None
    for name, values in (("mean", mean), ("std", std)):
        numbers = [] if values is None else list(values)
        valid = all(isinstance(value, int | float) and math.isfinite(value) for value in numbers)
        if (
            not numbers
            or not valid
            or (name == "std" and min(numbers) <= 0)
            or len(numbers) != (channels or len(numbers))
        ):
            rule = "must be finite numbers, one for each channel" + (", above 0" if name == "std" else "")
            raise InputError(name, values, rule, "give mean and std together, such as 0.5, 0.5, 0.5")
    return {"mean": [float(value) for value in mean or ()], "std": [float(value) for value in std or ()]}


def _for_channels(normalization: dict[str, list[float]] | None, channels: int | None) -> dict[str, list[float]] | None:
    """Return a normalization for another number of channels, as ``_adapt_channels`` adapts the kernels."""
    if normalization is None or channels in (None, len(normalization["mean"])):
        return normalization
    if channels == 1:
        return {name: [sum(values) / len(values)] for name, values in normalization.items()}
    return {name: [values[n % len(values)] for n in range(channels or 0)] for name, values in normalization.items()}


def _by_part(entries: Sequence[str]) -> list[str]:
    """Shorten a list of tensors with their shapes: of many in a part of a network, their number."""
    counts = Counter(_part(entry) for entry in entries)
    short = [entry if counts[_part(entry)] <= 2 else f"{_part(entry)}.* ({counts[_part(entry)]})" for entry in entries]
    return list(dict.fromkeys(short))


def _part(entry: str) -> str:
    return entry.partition(" ")[0].partition(".")[0]


def _listed(entries: Iterable[str], most: int = 2) -> str:
    entries = [*map(truncate, entries)]
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return f"{', '.join(entries[:most])}{more}"


def _with_shape(key: str, value: Tensor) -> str:
    return f"{truncate(key)} {tuple(value.shape)}"
