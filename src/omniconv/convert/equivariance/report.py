"""The report of a conversion: at the finest turn that a network can follow, what was changed and what leaves a seam."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd, lcm
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.convert.equivariance.roll import Turning
from omniconv.convert.equivariance.tracer import Witness, is_picture, tensors
from omniconv.convert.finding import Finding
from omniconv.convert.overrides.mode import PanoramaMode, Rules
from omniconv.convert.overrides.module_class import conversion_of
from omniconv.convert.overrides.pad_tracking import NONE, frame_of
from omniconv.errors import InputError, truncate
from omniconv.surfaces.neighbours.border import Border


def findings_of(network: nn.Module, arguments: tuple[Any, ...]) -> list[Finding]:
    """What a conversion changed in a network, and what does not turn with the panorama, in the order of its work.

    Args:
        network: converted.
        arguments: what it takes; pictures (batch, channels, height, width) among them are turned.

    Raises:
        InputError: no picture among the arguments, or the network cannot take them.
    """
    pictures = [x for x in arguments if is_picture(x)]
    if not pictures:
        raise InputError("example", [type(x).__name__ for x in arguments], "must have a picture (batch, channels, "
                         "height, width) in it", "give what the network takes")  # fmt: skip
    for x in pictures:
        if x.numel() == 0 or not bool(torch.isfinite(x).all()):
            raise InputError("example", tuple(x.shape), "must be pictures of finite numbers, one at least",
                             "give what the network takes")  # fmt: skip
    kinds = (torch.float64, 1e-7), (pictures[0].dtype, 1e-3)
    for dtype, tolerance in kinds:
        twin = copy.deepcopy(network).eval().to(dtype)
        try:
            return _at_finest(twin, [_as(dtype, x) for x in arguments], pictures[0].shape, tolerance)
        except InputError:
            raise
        except Exception as error:  # whatever a network does that insists on its own precision
            failure = error
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else x for x in arguments]
    text = str(failure).strip().partition("\n")[0] or type(failure).__name__
    raise InputError("example", shapes, f"cannot be taken by the network ({truncate(text)})",
                     "give what the network takes") from failure  # fmt: skip


@torch.no_grad()
def _at_finest(network: nn.Module, arguments: list[Any], shape: Sequence[int], tolerance: float) -> list[Finding]:
    """What is found at the finest turn that leaves no seam; or, if there is none, at half a turn."""
    conversion: Any = conversion_of(network)
    width = shape[-1]
    survey = Survey(conversion.border, conversion.rules)
    with survey:
        network(*arguments)
    strides = [width // gcd(width, columns) for columns in survey.widths if columns > 1]
    turn = reduce(lcm, [stride for stride in strides if stride < width], 1)  # the others are no rings, as is told
    if turn >= width:
        raise InputError(
            "example", tuple(shape), f"has the {width} columns that the network turns by", "give a wider one"
        )
    while turn < width:
        witness = Witness(conversion.border, conversion.rules, Turning(turn, width, shape[0], tolerance))
        found = witness.run(network, arguments)
        if not any(finding.seam for finding in found):
            return [*found, Finding("", "forward", f"turns with the panorama by multiples of {turn} columns", False)]
        turn *= 2
    return found


class Survey(PanoramaMode):
    """Notes how wide pictures are after each rule."""

    def __init__(self, border: Border, rules: Rules) -> None:
        super().__init__(border, rules)
        self.widths: set[int] = set()

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_function__(function, types, args, kwargs)
        if function in self.rules.table:
            self.widths |= {x.shape[-1] for x in tensors(result) if is_picture(x) and frame_of(x) == NONE}
        return result

    def tell(self, finding: Finding) -> None:
        """Nobody listens."""


def _as(dtype: torch.dtype, x: Any) -> Any:
    return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
