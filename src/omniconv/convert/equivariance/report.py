"""Report of a conversion: changed operations and seams, at the smallest roll that the network can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd, lcm
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.convert.equivariance.roll import NO_ROLL, RollTest
from omniconv.convert.equivariance.tracer import EquivarianceTracer, is_image
from omniconv.convert.finding import ConversionReport, Finding
from omniconv.convert.overrides.mode import Overrides, PanoramaFunctionMode
from omniconv.convert.overrides.module_class import conversion_of, revert
from omniconv.convert.overrides.pad_tracking import NO_OFFSET, offset_of
from omniconv.errors import InputError, truncate
from omniconv.nn.inspection import copy_network, iterate_tensors, preserved_random_state
from omniconv.surfaces.neighbours.border import Border

FLOAT64_TOLERANCE, OWN_TOLERANCE = 1e-7, 1e-3
"""Relative differences that count as rounding, in float64 and in the network's own dtype.

In float64, 17 converted networks of `make test-zoo` were equivariant to 2e-14, and the flat ones off by up to 1.
Rounding errors of float32 and narrower dtypes are larger.
"""


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
    for dtype, tolerance in ((torch.float64, FLOAT64_TOLERANCE), (images[0].dtype, OWN_TOLERANCE)):
        duplicate = copy_network(network, cure="leave out report=True").eval().to(dtype)
        try:
            inputs = [_cast(x, dtype) for x in arguments]
            return ConversionReport(_report_at_smallest_roll(duplicate, inputs, images[0].shape, tolerance))
        except InputError:
            raise
        except Exception as error:  # a network may create float32 tensors in its forward, and then fails in float64
            failure = error
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else x for x in arguments]
    text = str(failure).strip().partition("\n")[0] or type(failure).__name__
    rule = f"is not accepted by the network ({truncate(text)})"
    raise InputError("example", shapes, rule, "give an input of the network") from failure


@torch.no_grad()
def _report_at_smallest_roll(
    network: nn.Module, arguments: list[Any], shape: Sequence[int], tolerance: float
) -> list[Finding]:
    """Return the findings at the smallest roll without seams; if there is none, those at the largest one tried."""
    conversion: Any = conversion_of(network)
    width = shape[-1]
    probe = StrideProbe(conversion.border, conversion.overrides)
    with probe:
        network(*arguments)
    strides = [width // gcd(width, columns) for columns in probe.widths if columns > 1]
    # a width without a common factor with the panorama's is not a full circle at any roll, which the tracer reports
    shift = reduce(lcm, [stride for stride in strides if stride < width], 1)
    if shift >= width:
        rule = f"is {width} columns wide, which is not wider than the network's total stride"
        raise InputError("example", tuple(shape), rule, "give a wider one")
    while shift < width:
        roll_test = RollTest(shift, width, shape[0], tolerance)
        findings = EquivarianceTracer(conversion.border, conversion.overrides, roll_test).run(network, arguments)
        if not any(finding.seam for finding in findings):
            reason = f"is equivariant to rolls by multiples of {shift} columns"
            return [*findings, Finding("", "forward", reason, False)]
        shift *= 2
    if _is_equivariant(revert(copy_network(network)), arguments, RollTest(shift // 2, width, shape[0], tolerance)):
        findings.insert(0, Finding("", "forward", WRAPS_BY_ITSELF, seam=True))
    return findings


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

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_function__(function, types, args, kwargs)
        if function in self.overrides.table:
            images = (x for x in iterate_tensors(result) if is_image(x) and offset_of(x) == NO_OFFSET)
            self.widths |= {x.shape[-1] for x in images}
        return result

    def emit(self, finding: Finding) -> None:
        """Ignore seams: the tracer reports them."""


def _cast(x: Any, dtype: torch.dtype) -> Any:
    return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
