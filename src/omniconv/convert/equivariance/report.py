"""Report of a conversion: changed operations and seams, at the smallest roll that the network can follow."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from math import gcd, lcm
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.convert.equivariance.roll import NO_ROLL, RollTest
from omniconv.convert.equivariance.tracer import EquivarianceTracer, is_image
from omniconv.convert.finding import ConversionReport, Finding, SeamWarning
from omniconv.convert.network_output import middle_change, relative_difference
from omniconv.convert.overrides.mode import Overrides, PanoramaFunctionMode
from omniconv.convert.overrides.module_class import conversion_of, named_modules, revert
from omniconv.convert.overrides.pad_tracking import NO_OFFSET, offset_of
from omniconv.errors import InputError, truncate
from omniconv.nn.inspection import copy_network, iterate_tensors, preserved_random_state
from omniconv.surfaces.neighbours.border import Border

WRAPS_BY_ITSELF = (
    "was equivariant to rolling the panorama before it was converted, and is not now: it wraps by itself, so do not "
    "convert it"
)


@preserved_random_state()
def equivariance_report(network: nn.Module, arguments: tuple[Any, ...]) -> ConversionReport:
    """Return changed operations, and those that are not equivariant, in order of execution.

    A copy of the network runs on the arguments, of which images (batch, channels, height, width) are rolled. Arguments
    without an image, or on which the network fails, raise InputError.
    """
    images = [x for x in arguments if is_image(x)]
    if not images:
        rule = "must contain an image tensor (batch, channels, height, width)"
        raise InputError("example", [type(x).__name__ for x in arguments], rule, "give an input of the network")
    for x in images:
        if x.numel() == 0 or not bool(torch.isfinite(x).all()):
            raise InputError("example", tuple(x.shape), "must be non-empty and finite", "give an input of the network")
    for dtype in (torch.float64, images[0].dtype):
        duplicate = copy_network(network, cure="leave out report=True")
        try:
            _cast_in_evaluation_mode(duplicate, dtype)
            inputs = [_cast(x, dtype) for x in arguments]
            findings = _report_at_smallest_roll(duplicate, inputs, images[0].shape)
            return ConversionReport(findings, *_middle_changes(duplicate, inputs))
        except InputError:
            raise
        except Exception as error:  # a network may create float32 tensors in its forward, and then fails in float64
            failure = error
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else x for x in arguments]
    text = str(failure).strip().partition("\n")[0] or type(failure).__name__
    rule = f"is not accepted by the network ({truncate(text)})"
    raise InputError("example", shapes, rule, "give an input of the network") from failure


@torch.no_grad()
def _report_at_smallest_roll(network: nn.Module, arguments: list[Any], shape: Sequence[int]) -> list[Finding]:
    """Return the findings at the smallest roll without seams; if there is none, those at the largest one."""
    conversion: Any = conversion_of(network)
    width = shape[-1]
    probe = StrideProbe(conversion.border, conversion.overrides)
    with probe:
        network(*arguments)
    strides = [width // gcd(width, columns) for columns in probe.widths if columns > 1]
    # a width without a common factor with the panorama's is not a full circle at any roll, which the tracer reports
    strides = [stride for stride in strides if stride < width]
    first = reduce(lcm, strides, 1)
    if first >= width:  # only whole turns are multiples of all strides: find the layers whose strides do not fit
        first = max(strides)
    shifts = [first << doublings for doublings in range(width.bit_length()) if 2 * first << doublings < width]
    # the last one is half a turn, which most widths of layers can follow, so that most seams are judged by themselves
    shifts.append(width // 2 if width % 2 == 0 and width // 2 % first == 0 else first << len(shifts))

    @cache  # of at most log2(width) shifts
    def traced(index: int) -> EquivarianceTracer:
        roll_test = RollTest(shifts[index], width, shape[0])
        tracer = EquivarianceTracer(conversion.border, conversion.overrides, roll_test)
        tracer.run(network, arguments)
        return tracer

    # A network that is equivariant to a roll is so to twice that roll: most are to the first, or to none.
    low, last = 0, len(shifts) - 1
    if not traced(0).has_equivariant_rest:
        high = last
        while traced(last).has_equivariant_rest and high - low > 1:  # bisection: not at `low`, but at `high`
            middle = (low + high) // 2
            low, high = (low, middle) if traced(middle).has_equivariant_rest else (middle, high)
        low = high
    findings = list(traced(low).findings)
    if traced(low).certain:  # widths that they leave may fit half a turn only, where seams after them are found
        findings = list(dict.fromkeys([*traced(last).findings, *findings]))
    if not any(finding.seam for finding in findings):
        reason = f"is equivariant to rolls by multiples of {shifts[low]} columns"
        return [*findings, Finding("", "forward", reason, False)]
    shift = shifts[-1]
    if not traced(low).has_equivariant_rest and _is_equivariant(
        revert(copy_network(network)), arguments, RollTest(shift, width, shape[0])
    ):
        findings.insert(0, Finding("", "forward", WRAPS_BY_ITSELF, seam=True))
    return findings


@torch.no_grad()
def _middle_changes(network: nn.Module, arguments: Sequence[Any]) -> tuple[float | None, float | None, bool]:
    """Return by how much the converted network differs from the flat one, as ``ConversionReport`` says.

    It turns the network into the flat one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeamWarning)  # seams are in the report
        outputs = [next(iterate_tensors(network(*arguments)), None)]
        outputs.append(next(iterate_tensors(revert(network)(*arguments)), None))
    converted, flat = (None if y is None or not y.is_floating_point() else y[0].double().cpu() for y in outputs)
    if converted is None or flat is None or converted.shape != flat.shape:
        return None, None, True
    if flat.ndim < 2:  # a vector for each image
        change = relative_difference(float(((converted - flat) ** 2).mean()), float(flat.var(correction=0)), False)
        return change, None, False
    if flat.ndim == 2:
        flat, converted = flat[None], converted[None]
    one, other = flat.flatten(0, -3).numpy(), converted.flatten(0, -3).numpy()
    labels = middle_change(one, other, classes=True) if len(one) > 1 else None
    return middle_change(one, other, classes=False), labels, True


def _is_equivariant(network: nn.Module, arguments: Sequence[Any], roll_test: RollTest) -> bool:
    """Return whether all outputs of a network for rolled images are rolled outputs."""
    is_batch = [isinstance(x, Tensor) and x.ndim > 0 and len(x) == roll_test.batch for x in arguments]
    rolled = [
        roll_test.corrected(x, ((-1, None),) if is_image(x) else NO_ROLL) if batched else x
        for x, batched in zip(arguments, is_batch, strict=True)
    ]
    outputs = [y for y in iterate_tensors(network(*rolled)) if roll_test.has_both_halves(y)]
    return bool(outputs) and all(roll_test.find_roll(y, ()) is not None for y in outputs)


class StrideProbe(PanoramaFunctionMode):
    """Mode that records the widths of images after each override, except those of padded images."""

    def __init__(self, border: Border, overrides: Overrides) -> None:
        super().__init__(border, overrides)
        self.widths: set[int] = set()
        self._has_seam = False

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._has_seam = False
        result = super().__torch_function__(function, types, args, kwargs)
        if function in self.overrides.table and not self._has_seam:  # its width is no full circle at any roll
            images = (x for x in iterate_tensors(result) if is_image(x) and offset_of(x) == NO_OFFSET)
            self.widths |= {x.shape[-1] for x in images}
        return result

    def emit(self, finding: Finding) -> None:
        """Ignore seams, which the tracer reports, and the widths that they leave."""
        self._has_seam = True


def _cast_in_evaluation_mode(network: nn.Module, dtype: torch.dtype) -> None:
    """Do what ``network.eval().to(dtype)`` does, whose methods attributes of the user's network may hide."""
    for _, module in named_modules(network):
        module.training = False
        for parameter in module._parameters.values():
            if parameter is not None:
                parameter.data = _cast(parameter.data, dtype)
        for name, buffer in module._buffers.items():
            module._buffers[name] = _cast(buffer, dtype)


def _cast(x: Any, dtype: torch.dtype) -> Any:
    return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
