"""Trace of a converted network that finds the torch functions that are not equivariant to rolling the panorama.

The network runs once on a batch of images and rolled images. After every torch function, both halves of the result are
compared. Where they differ, the function is reported, and the rolled half is corrected so that later functions are
judged on their own. Functions that only reshape are not reported at once: their result may be rolled in a way that no
single axis shows (attention windows), and a later reshape may restore the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omniconv.convert.equivariance.roll import NO_ROLL, RollSpec, RollTest, rounding_tolerance
from omniconv.convert.finding import Finding
from omniconv.convert.overrides.mode import Overrides, PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import NO_OFFSET, offset_of
from omniconv.nn.inspection import iterate_tensors
from omniconv.surfaces.neighbours.border import Border

RESHAPE_OPS = frozenset({
    "view", "reshape", "permute", "transpose", "swapaxes", "movedim", "flatten", "unflatten", "squeeze", "unsqueeze",
    "expand", "repeat", "tile", "cat", "stack", "concat", "chunk", "split", "unbind", "narrow", "roll", "contiguous",
    "clone", "to", "type", "float", "double", "__getitem__", "as_strided", "unfold", "select", "index_select", "gather",
    "t",
})  # fmt: skip
"""Names of functions that only move or copy samples."""
TEMPLATE_OPS = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as"})
"""Names of functions whose arguments after the first say what the result is like, not what it contains."""
_ATTRIBUTE = "_omniconv_tensor_state"


class TensorState(NamedTuple):
    """State of a traced tensor: the roll from its first half to its second, and the operation that broke it.

    ``roll`` is ``None`` if no roll explains the second half; ``origin`` is then the operation after which none did.
    """

    roll: RollSpec | None
    origin: Finding | None = None
    tolerance: float = 0.0  # of the narrowest dtype that it was computed in


class EquivarianceTracer(PanoramaFunctionMode):
    """Mode that compares both halves of the result of every torch function."""

    def __init__(self, border: Border, overrides: Overrides, roll_test: RollTest) -> None:
        super().__init__(border, overrides)
        self.roll_test = roll_test
        self.findings: dict[Finding, None] = {}  # in the order of their discovery, without duplicates
        # Seams that the running override has reported; they become findings if the comparison fails.
        self.pending: list[Finding] = []
        self.certain: set[Finding] = set()  # findings that comparisons at this roll need not show

    @property
    def has_equivariant_rest(self) -> bool:
        """Whether no seams were found but those that leave a seam at some roll in any case."""
        return not any(finding.seam and finding not in self.certain for finding in self.findings)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.pending.clear()
        result = super().__torch_function__(function, types, args, kwargs)
        name = getattr(function, "__name__", str(function))
        sources = args[:1] if name in TEMPLATE_OPS else () if _is_factory(name) else (args, kwargs)
        states = [getattr(x, _ATTRIBUTE) for x in iterate_tensors(sources) if hasattr(x, _ATTRIBUTE)]
        if not states:
            return result
        if isinstance(result, Tensor):
            return self._check(name, states, result)
        if isinstance(result, tuple | list) and all(isinstance(part, Tensor) for part in result):
            return type(result)(self._check(name, states, part) for part in result)
        return result

    def run(self, network: nn.Module, arguments: Sequence[Any]) -> list[Finding]:
        """Run a network on images and rolled images, and return the findings."""
        inputs = [self._with_rolled_copy(x) for x in arguments]
        with self:
            result = network(*inputs)
        self._check_outputs(result)
        return list(self.findings)

    def emit_certain(self, finding: Finding) -> None:
        """Add a seam that this roll may not show, and keep it as the cause if it does."""
        self.findings.setdefault(finding)
        self.certain.add(finding)
        self.emit(finding)

    def emit(self, finding: Finding) -> None:
        """Keep a seam until the result is compared."""
        self.pending.append(finding)

    def report_change(self, operation: str, reason: str) -> None:
        """Add a changed operation to the findings."""
        self.findings.setdefault(Finding(self.module, operation, reason, seam=False))

    def _with_rolled_copy(self, x: Any) -> Any:
        """Return an argument of the network for both halves of the batch."""
        if not isinstance(x, Tensor) or x.ndim == 0 or len(x) != self.roll_test.batch:
            return x
        roll: RollSpec = ((-1, None),) if is_image(x) else NO_ROLL
        return _with_state(self.roll_test.corrected(x, roll), TensorState(roll))

    def _check_outputs(self, result: Any) -> None:
        """Add the origins of outputs that no roll explains; an output without a state was not made by torch."""
        reason = "is not equivariant to rolling the panorama, because of operations outside torch"
        untraced = Finding("", "forward", reason, seam=True)
        for x in iterate_tensors(result):
            unknown = TensorState(None, untraced) if self.roll_test.has_both_halves(x) else TensorState(NO_ROLL)
            state = getattr(x, _ATTRIBUTE, unknown)
            if state.origin is not None and self.roll_test.find_roll(x, (), state.tolerance) is None:
                self.findings.setdefault(state.origin)

    def _check(self, name: str, states: list[TensorState], result: Tensor) -> Tensor:
        """Compare both halves of a result, and return it with its state and a corrected second half."""
        if not result.is_floating_point():
            return result
        origin = next((state.origin for state in states if state.origin is not None), None)
        guesses = [state.roll for state in states if state.roll is not None]
        tolerance = max(rounding_tolerance(result.dtype), *(state.tolerance for state in states))
        only_reshapes = name in RESHAPE_OPS
        finding = self.pending[0] if self.pending else Finding(self.module, name, _reason(name), seam=True)
        if offset_of(result) != NO_OFFSET and guesses:
            # padding of a rolled panorama is not the rolled padding; the next window removes it, and is compared
            return _with_state(result, TensorState(guesses[0], origin, tolerance))
        broken = TensorState(None, origin or finding, tolerance)
        if not self.roll_test.has_both_halves(result):
            return _with_state(result, broken)
        roll = self.roll_test.find_roll(result, guesses, tolerance)
        if roll is not None:
            if tolerance > rounding_tolerance(torch.float64):  # or rounding would add up from operation to operation
                result = _overwrite(result, self.roll_test.corrected(result, roll))
            return _with_state(result, TensorState(roll, None, tolerance))
        if only_reshapes and not self.pending:
            return _with_state(result, broken)
        if origin is not None and not any(guesses):
            if self.pending:  # of its own, whatever came before
                self.findings.setdefault(self.pending[0])
            return _with_state(result, broken)
        self.findings.setdefault(origin or finding)
        roll = self.roll_test.expected_roll(result, guesses)
        if roll is None:
            return _with_state(result, broken)
        corrected = _overwrite(result, self.roll_test.corrected(result, roll))
        return _with_state(corrected, TensorState(roll, None, tolerance))


def is_image(x: Any) -> bool:
    """Return whether ``x`` is a floating-point tensor (batch, channels, height, width)."""
    return isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point()


def _with_state(x: Tensor, state: TensorState) -> Tensor:
    setattr(x, _ATTRIBUTE, state)
    return x


def _overwrite(x: Tensor, corrected: Tensor) -> Tensor:
    """Write into ``x`` if possible, since other variables may refer to the tensor that an in-place function returns."""
    try:
        return x.copy_(corrected)
    except RuntimeError:  # not writable, for example an expanded tensor, whose samples share memory
        return corrected


def _is_factory(name: str) -> bool:
    """Return whether a function makes a tensor of a size, as ``zeros_like`` and ``new_zeros`` do."""
    return name.endswith("_like") or name.startswith("new_")


def _reason(name: str) -> str:
    if name in RESHAPE_OPS:
        return "arranges positions in a fixed order, and later operations treat each of them differently"
    if name.strip("_") in ("add", "radd", "iadd", "mul", "rmul", "imul", "sub", "rsub"):
        return "combines the panorama with values that do not roll with it, such as a position embedding"
    return "is not equivariant to rolling the panorama"
