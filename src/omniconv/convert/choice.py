"""``choose``: the conversion of a trained network that fits panoramas best, measured against perspective views.

A flat network was trained on perspective images, so what it says about a perspective view of the panorama is the
reference for what its conversions say about the same directions. A view has square pixels as large as the panorama's at
the equator, and only its inner half on each axis is compared, where its own edges matter little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import atan, degrees, isnan, nan, pi
from typing import Any

import numpy as np
import torch
from torch import nn

from omniconv.checks import check_choice, check_integer
from omniconv.convert.equirectangular import check_model, to_equirectangular
from omniconv.convert.finding import text_table
from omniconv.convert.network_output import (
    OutputKey,
    check_panoramas,
    has_class_scores,
    inner_half,
    like_weights,
    middle_change,
    predicted_class,
    relative_difference,
    select_output,
)
from omniconv.convert.overrides.module_class import conversion_of, evaluation_mode
from omniconv.convert.tangent import to_tangent
from omniconv.errors import InputError, one_line, pluralize
from omniconv.nn.inspection import copy_network, preserved_random_state
from omniconv.surfaces import panorama
from omniconv.surfaces.resampling.perspective import View, sample_image, view_of

CONVERSIONS: dict[str, Callable[[nn.Module, int], nn.Module]] = {
    "flat": lambda network, height: network,
    "poles=flat": lambda network, height: to_equirectangular(network, poles="flat"),
    "poles=over": lambda network, height: to_equirectangular(network, poles="over"),
    "poles=zeros": lambda network, height: to_equirectangular(network, poles="zeros"),
    "poles=replicate": lambda network, height: to_equirectangular(network, poles="replicate"),
    "poles=reflect": lambda network, height: to_equirectangular(network, poles="reflect"),
    "tangent": lambda network, height: to_tangent(network, height),
}
"""Candidates by name, as functions of the flat network and the height of the panoramas; the first changes nothing."""
LATITUDES = (0, 45, -45, 75, -75)
"""Centres of the views: their inner halves reach 26° above and below, so that these cover all latitudes."""
LONGITUDES = (0, 180)
"""In the middle of the picture, and on the cut between its right and left edge."""
BANDS = {"0–30°": (0, 30), "30–60°": (30, 60), "60–90°": (60, 90)}
BAND_AREAS = [np.sin(np.radians(high)) - np.sin(np.radians(low)) for low, high in BANDS.values()]
VIEW_MULTIPLE = 32
"""Views have a side that most total strides divide; the field of view follows from it."""
MARGIN, MARGIN_SHARE = 0.01, 0.1
"""A candidate may differ from the views in the middle of the picture by so much more than the flat network does: as an
absolute difference, and as a share of the flat network's own."""
TIE = 0.01
"""Differences over the sphere that are equal up to this share of the smallest count as equal."""
MIDDLE_CHANGE, MIDDLE_CHANGE_FACTOR = 0.01, 2
"""Square kernels should change little in the middle of the picture: up to 1 %, or twice the least of their candidates.
A network trained for 40 seconds to tell ground, horizon and sky changed 5.4 % of its labels there over the pole; its
accuracy on panoramas fell from 70 to 48 %, though it came closer to the views near the poles. Tangent kernels differ
there as they should, and are held to the views only."""
RULE = (
    "the smallest difference over the sphere, among conversions that are not worse there than the flat network, and in "
    "the middle of the picture at most a tenth (or 1 %) worse; with square kernels they may change the middle by at "
    "most 1 %, or twice the least of them; of almost equal ones, that which changes the middle least"
)


@dataclass(frozen=True)
class ConversionFigures:
    """Measures of one candidate, as shares of changed labels, or relative differences of continuous outputs.

    A relative difference is the root mean square difference by the standard deviation of the reference over all views.

    Attributes:
        name: ``flat``, ``poles=…`` as in ``to_equirectangular``, or ``tangent``.
        bands: difference from perspective views by absolute latitude: 0–30°, 30–60°, 60–90°.
        sphere: the same over the sphere, by the areas of the bands.
        middle: the same at the equator in the middle of the picture, far from every edge.
        cut: the same at the equator around the cut between the right and the left edge.
        middle_change: difference from the flat network in the inner half of rows and columns of the picture, where a
            conversion should change little; 0 for ``flat``.
        failure: why the network cannot be converted so, or does not run; the measures are then NaN.
    """

    name: str
    bands: tuple[float, ...] = (nan,) * len(BANDS)
    sphere: float = nan
    middle: float = nan
    cut: float = nan
    middle_change: float = nan
    failure: str = ""


@dataclass(frozen=True)
class ConversionChoice:
    """Conversions of a network, measured on panoramas; printed as a table.

    Attributes:
        figures: one entry for each candidate.
        recommended: name of the recommended candidate, by ``rule``.
        rule: the rule by which it is recommended.
        panoramas: number of panoramas.
        size: their height and width.
        classes: whether labels were compared (else values).
    """

    figures: tuple[ConversionFigures, ...]
    recommended: str
    rule: str
    panoramas: int
    size: tuple[int, int]
    classes: bool

    def convert(self, model: nn.Module, copy: bool = False) -> nn.Module:
        """Return a network in the recommended conversion: itself or a copy, unchanged if that is ``flat``."""
        network = copy_network(model, cure="use copy=False") if copy else model
        return CONVERSIONS[self.recommended](network, self.size[0])

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows of the table."""
        header = ["conversion", *BANDS, "sphere", "middle", "at the cut", "change of the middle"]
        return header, [self._row(entry) for entry in self.figures]

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as JSON-serialisable data; measures that do not exist are ``None``."""
        rows = [asdict(entry) for entry in self.figures]
        for row in rows:
            for name, value in row.items():
                row[name] = None if isinstance(value, float) and isnan(value) else value
            row["bands"] = [None if isnan(value) else value for value in row["bands"]]
        return {**asdict(self), "figures": rows, "size": list(self.size)}

    def __str__(self) -> str:
        unit = "share of labels that differ" if self.classes else "difference / standard deviation"
        height, width = self.size
        title = f"{pluralize(self.panoramas, 'panorama')} of {height}x{width}: {unit} from the flat network on "
        header, rows = self.table()
        last = [f"recommended: {self.recommended}", f"rule: {self.rule}"]
        return "\n".join([title + "perspective views", text_table([header, *rows]), *last])

    __repr__ = __str__

    def _row(self, entry: ConversionFigures) -> list[str]:
        if entry.failure:
            return [entry.name, *["–"] * (len(BANDS) + 4)]
        values = [*entry.bands, entry.sphere, entry.middle, entry.cut, entry.middle_change]
        return [entry.name, *(f"{100 * value:.1f} %" for value in values)]


def choose(
    model: nn.Module, panoramas: Any, candidates: Sequence[str] = tuple(CONVERSIONS), *, classes: bool | None = None,
    output: OutputKey = None, view_size: int | None = None, step: Callable[[], None] = lambda: None,
) -> ConversionChoice:  # fmt: skip
    """Measure the conversions of a trained flat network on panoramas, and recommend one of them.

    The reference is the flat network on perspective views of about 90° (its training images were of that kind), at
    latitudes 0, ±45 and ±75° in the middle of the picture and on its cut. For each candidate the output for the whole
    panorama is sampled at the pixels of each view and compared with it. Padding, kernels and the distortion of the
    panorama all count, so that a figure is never 0; compare the candidates with each other. Near the poles the views
    show what a network seldom saw in training (only sky, only ground), so that the reference is least certain there.

    Args:
        model: flat network for images (batch, channels, height, width) of any size, with a dense output
            (batch, K, H', W') or (batch, H', W'). It stays as it is: copies are converted, one at a time.
        panoramas: (batch, channels, H, 2 · H), floating point, scaled as the network takes them: full spheres of the
            kind that it will be used on. A few are enough to tell conversions apart that differ much.
        candidates: names of ``ConversionFigures``; all by default.
        classes: whether channels are class scores, of which labels are compared; by default if there are several.
        output: key or index of the output, where there are several; the first tensor by default.
        view_size: side of the views, in pixels; by default that of 90° at the resolution of the equator, as a multiple
            of 32 where it is at least 32.
        step: called after each candidate on each panorama.

    Raises:
        InputError: panoramas that are not twice as wide as high, an unknown candidate, a converted network, or one
            whose output is not dense or that fails on a view.

    Example:
        >>> flat = torch.nn.Conv2d(3, 4, 3, padding=1)
        >>> choice = choose(flat, torch.rand(2, 3, 32, 64), ["flat", "poles=flat", "poles=over"])
        >>> [entry.middle_change for entry in choice.figures]
        [0.0, 0.0, 0.0]
        >>> choice.convert(flat, copy=True)(torch.rand(1, 3, 32, 64)).shape
        torch.Size([1, 4, 32, 64])
    """
    check_flat(model)
    for name in candidates:
        check_choice("candidates", name, CONVERSIONS)
    images = check_panoramas(panoramas)
    height, width = images.shape[2:]
    if width != 2 * height:
        raise InputError(
            "panoramas", images.shape, "must be twice as wide as high", "give panoramas of the full sphere"
        )
    if view_size is None:
        side = max(round(width / pi), 1)
        multiple = VIEW_MULTIPLE if side >= VIEW_MULTIPLE else 1
        view_size = round(side / multiple) * multiple
    size = check_integer("view_size", view_size, 4, "leave it out")
    field = degrees(2 * atan(size * pi / width))
    views = [View((size, size), field, longitude, latitude) for latitude in LATITUDES for longitude in LONGITUDES]
    flat = copy_network(model)
    with preserved_random_state(), evaluation_mode(flat), torch.inference_mode():
        with _naming_errors(flat, (size, size)):
            reference = [[_dense_output(flat, view_of(image, view), output) for view in views] for image in images]
        with _naming_errors(flat, (height, width)):
            unchanged = [_dense_output(flat, image, output) for image in images]
    comparison = _Comparison(views, reference, unchanged, (height, width), has_class_scores(unchanged[0], classes))
    figures = []
    for name in dict.fromkeys(["flat", *candidates]):
        outputs = unchanged if name == "flat" else _converted_outputs(model, name, images, output)
        figures.append(ConversionFigures(name, failure=outputs) if isinstance(outputs, str) else
                       comparison.figures(name, outputs))  # fmt: skip
        for _ in images:
            step()
    best = recommend(figures)
    return ConversionChoice(tuple(figures), best, RULE, len(images), (height, width), comparison.classes)


def check_flat(model: nn.Module) -> None:
    """Raise InputError unless a model is a flat network that can be converted."""
    check_model(model)
    if conversion_of(model) is not None:
        raise InputError("model", type(model).__name__, "is converted already", "give oc.convert.revert(model)")


def recommend(figures: Sequence[ConversionFigures]) -> str:
    """Return the name of a candidate by ``RULE``; the first of the figures are those of the flat network.

    Example:
        >>> flat = ConversionFigures("flat", sphere=0.5, middle=0.4, middle_change=0.0)
        >>> over = ConversionFigures("poles=over", sphere=0.3, middle=0.7, middle_change=0.45)
        >>> zeros = ConversionFigures("poles=zeros", sphere=0.45, middle=0.41, middle_change=0.05)
        >>> recommend([flat, over, zeros]), recommend([flat, over])
        ('poles=zeros', 'flat')
    """
    flat, *others = figures
    limit = flat.middle + max(MARGIN, MARGIN_SHARE * flat.middle)
    square = [entry for entry in others if entry.name.startswith("poles=") and not entry.failure]
    least = min((entry.middle_change for entry in square), default=nan)
    too_much = {
        entry.name for entry in square if entry.middle_change > max(MIDDLE_CHANGE, MIDDLE_CHANGE_FACTOR * least)
    }
    # comparisons with NaN are false, which leaves out candidates that failed
    safe = [
        entry for entry in others
        if entry.middle <= limit and entry.sphere <= flat.sphere * (1 + TIE) and entry.name not in too_much
    ]  # fmt: skip
    smallest = min((entry.sphere for entry in safe), default=nan)
    equal = [entry for entry in safe if entry.sphere <= smallest * (1 + TIE)]
    return min(equal, key=lambda entry: entry.middle_change, default=flat).name


class _Comparison:
    """Comparison of the outputs of candidates with those for perspective views."""

    def __init__(
        self, views: Sequence[View], reference: Sequence[Sequence[np.ndarray]], unchanged: Sequence[np.ndarray],
        size: tuple[int, int], classes: bool,
    ) -> None:  # fmt: skip
        self.views, self.reference, self.unchanged, self.classes = views, reference, unchanged, classes
        self.size = size
        pooled = np.concatenate([part.reshape(len(part), -1) for image in reference for part in image], axis=1)
        self.variance = float(pooled.var(axis=1).sum())
        view_outputs, outputs = reference[0][0].shape[-2:], unchanged[0].shape[-2:]
        view_size = views[0].size[0]
        if outputs[1] == view_outputs[1]:
            rule = f"returns {outputs[0]}x{outputs[1]} for inputs of {size[0]}x{size[1]} and {view_size}x{view_size}"
            raise InputError("output", outputs, rule, "choose an output that grows with the input")
        # of the difference, as convolutions without padding leave out margins; rounded, as the last windows may not fit
        stride = (size[1] - view_size) / (outputs[1] - view_outputs[1])
        self.stride = round(stride) if stride >= 1 else 1 / round(1 / stride)
        # rows and columns before the first output, which convolutions without padding leave out; 0 up to rounding
        self.margins = [round(length - self.stride * count) / 2 for length, count in zip(size, outputs, strict=True)]
        margin = round(view_size - self.stride * view_outputs[0]) / 2
        grid = (np.arange(view_outputs[0]) + 0.5) * self.stride + margin - 0.5  # in pixels of the view
        self.directions = {view: view.rays(*np.meshgrid(grid, grid, indexing="ij")) for view in views}

    def figures(self, name: str, outputs: Sequence[np.ndarray]) -> ConversionFigures:
        """Return the measures of a candidate with these outputs, one for each panorama."""
        sums, counts = np.zeros(len(BANDS)), np.zeros(len(BANDS))
        at_equator: dict[float, list[float]] = {longitude: [] for longitude in LONGITUDES}
        for panorama_output, references in zip(outputs, self.reference, strict=True):
            for view, expected in zip(self.views, references, strict=True):
                latitudes, errors = self._errors(view, expected, panorama_output)
                band = np.minimum(latitudes // 30, len(BANDS) - 1).astype(int)
                sums += np.bincount(band, errors, len(BANDS))
                counts += np.bincount(band, minlength=len(BANDS))
                if view.latitude == 0:
                    at_equator[view.longitude].append(float(errors.mean()))
        means = sums / counts
        changes = [middle_change(*pair, self.classes) for pair in zip(self.unchanged, outputs, strict=True)]
        sphere, middle, cut = np.average(means, weights=BAND_AREAS), *(np.mean(at_equator[x]) for x in LONGITUDES)
        bands, (over_sphere, in_middle, at_cut) = (
            tuple(relative_difference(float(mean), self.variance, self.classes) for mean in group)
            for group in (means, (sphere, middle, cut))
        )
        return ConversionFigures(name, bands, over_sphere, in_middle, at_cut, float(np.mean(changes)))

    def _errors(self, view: View, expected: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return absolute latitudes and errors of the pixels in the inner half of a view."""
        directions = self.directions[view][inner_half(expected.shape[-2:])[1:]]
        expected = expected[inner_half(expected.shape[-2:])]
        rows, columns = (
            (at - margin + 0.5) / self.stride - 0.5
            for at, margin in zip(panorama.pixel_coordinates(directions, *self.size), self.margins, strict=True)
        )
        if self.classes:
            output, expected = predicted_class(output)[None], predicted_class(expected)[None]
        if self.margins[1] <= 0:  # the output closes the circle; bilinear interpolation needs a column of either side
            output, columns = np.pad(output, ((0, 0), (0, 0), (1, 1)), mode="wrap"), columns + 1
        seen = sample_image(output, rows, columns, pixel=0.0, mode="nearest" if self.classes else "linear")
        errors = (expected != seen)[0].astype(np.float64) if self.classes else ((expected - seen) ** 2).sum(axis=0)
        latitudes = np.degrees(np.arcsin(np.clip(np.abs(directions[..., 2]), 0, 1)))
        return latitudes.ravel(), errors.ravel()


def _converted_outputs(model: nn.Module, name: str, images: np.ndarray, output: OutputKey) -> list[np.ndarray] | str:
    """Return the outputs of a converted copy of a network for panoramas, or why there are none."""
    try:
        network = CONVERSIONS[name](copy_network(model), images.shape[2])
        with preserved_random_state(), evaluation_mode(network), torch.inference_mode():
            return [_dense_output(network, image, output) for image in images]
    except MemoryError:
        raise
    except Exception as error:  # the user's forward may raise anything
        return one_line(error)


@contextmanager
def _naming_errors(network: nn.Module, size: tuple[int, int]) -> Iterator[None]:
    """Raise InputError that names the size where a network fails."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # the user's forward may raise anything
        rule = f"cannot take an image of {size[0]}x{size[1]} ({one_line(error)})"
        raise InputError("model", type(network).__name__, rule, "resize the panoramas, or set view_size") from error


def _dense_output(network: nn.Module, image: np.ndarray, key: OutputKey) -> np.ndarray:
    """Return the output of a network for one image ``(C, H, W)`` as float64 ``(K, H', W')``."""
    x = like_weights(torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None], network)
    y = select_output(network(x), key)
    y = y[:, None] if y.ndim == 3 else y
    if y.ndim != 4 or len(y) != 1 or not y.is_floating_point() or max(y.shape[2:]) < 2:
        rule = f"returns {tuple(y.shape)} for one image, which is not a map of floating-point numbers"
        raise InputError("model", type(network).__name__, rule, "give a network with an output (1, K, H, W)")
    return y[0].double().cpu().numpy()
