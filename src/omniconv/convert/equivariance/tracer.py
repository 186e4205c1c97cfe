"""What a converted network does not turn: it runs on a picture and on that picture turned, compared after every step.

Both are in one batch. Where the two halves part, the function that parted them is named, and the turned half is put
right, so that the next one is found too. Functions that only lay samples out anew are not blamed at once: what they
make may turn in a way that cannot be seen (windows), and come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from omniconv.convert.equivariance.roll import STILL, Move, Turning
from omniconv.convert.finding import Finding
from omniconv.convert.overrides.mode import PanoramaMode, Rules
from omniconv.convert.overrides.pad_tracking import NONE, frame_of
from omniconv.surfaces.neighbours.border import Border

LAYING_OUT = frozenset({
    "view", "reshape", "permute", "transpose", "swapaxes", "movedim", "flatten", "unflatten", "squeeze", "unsqueeze",
    "expand", "repeat", "tile", "cat", "stack", "concat", "chunk", "split", "unbind", "narrow", "roll", "contiguous",
    "clone", "to", "type", "float", "double", "__getitem__", "as_strided", "unfold", "select", "index_select", "gather",
    "t",
})  # fmt: skip
_NAME = "_omniconv_seen"


class Seen(NamedTuple):
    """What is known of a tensor: how it turns, or what made it so that nobody can tell."""

    move: Move | None
    origin: Finding | None = None


class Witness(PanoramaMode):
    """Compares the halves of every result.

    Attributes:
        findings: what was found, each once.
    """

    def __init__(self, border: Border, rules: Rules, turning: Turning) -> None:
        super().__init__(border, rules)
        self.turning = turning
        self.findings: dict[Finding, None] = {}
        self.told: list[Finding] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.told.clear()
        result = super().__torch_function__(function, types, args, kwargs)
        seen = [getattr(x, _NAME) for x in tensors((args, kwargs)) if hasattr(x, _NAME)]
        if not seen:
            return result
        name = getattr(function, "__name__", str(function))
        if isinstance(result, Tensor):
            return self._judged(name, seen, result)
        if isinstance(result, tuple | list) and all(isinstance(part, Tensor) for part in result):
            return type(result)(self._judged(name, seen, part) for part in result)
        return result

    def run(self, network: nn.Module, arguments: Sequence[Any]) -> list[Finding]:
        """What is found while a network runs."""
        given = [self._doubled(x) for x in arguments]
        with self:
            result = network(*given)
        self._finish(result)
        return list(self.findings)

    def tell(self, finding: Finding) -> None:
        """Keep it until the result is judged."""
        self.told.append(finding)

    def changed(self, operation: str, reason: str) -> None:
        """Keep it."""
        self._say(Finding(self.module, operation, reason, seam=False))

    def _say(self, finding: Finding) -> None:
        """Add to the findings."""
        self.findings.setdefault(finding)

    def _doubled(self, x: Any) -> Any:
        """An argument for both halves of the batch."""
        if not isinstance(x, Tensor) or x.ndim == 0 or len(x) != self.turning.batch:
            return x
        move: Move = ((-1, None),) if is_picture(x) else STILL
        return _noted(self.turning.healed(x, move), Seen(move))

    def _finish(self, result: Any) -> None:
        """What came out of the network and does not turn is the fault of what nobody could tell of."""
        unseen = Finding("", "forward", "does not turn with the panorama, by functions that cannot be seen", seam=True)
        for x in tensors(result):
            seen = getattr(x, _NAME, Seen(None, unseen) if self.turning.fits(x) else Seen(STILL))
            if seen.origin is not None and self.turning.move_of(x, ()) is None:
                self._say(seen.origin)

    def _judged(self, name: str, seen: list[Seen], result: Tensor) -> Tensor:
        if not result.is_floating_point():
            return result
        origin = next((known.origin for known in seen if known.origin is not None), None)
        guesses = [known.move for known in seen if known.move is not None]
        lays_out = name in LAYING_OUT
        blame = self.told[0] if self.told else Finding(self.module, name, _reason(name), seam=True)
        if frame_of(result) != NONE and guesses:
            return _noted(result, Seen(guesses[0], origin))  # as what was padded
        if not self.turning.fits(result):
            return _noted(result, Seen(None, origin or blame))
        move = self.turning.move_of(result, guesses)
        if move is not None:
            return _noted(result, Seen(move))
        if (lays_out and not self.told) or (origin is not None and not any(guesses)):
            return _noted(result, Seen(None, origin or blame))
        self._say(origin or blame)
        move = self.turning.likely(result, guesses)
        if move is None:
            return _noted(result, Seen(None, origin or blame))
        return _noted(_put(result, self.turning.healed(result, move)), Seen(move))


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


def is_picture(x: Any) -> bool:
    """Whether it is a tensor ``(batch, channels, height, width)``."""
    return isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point()


def _noted(x: Tensor, seen: Seen) -> Tensor:
    setattr(x, _NAME, seen)
    return x


def _put(x: Tensor, healed: Tensor) -> Tensor:
    """In place, for functions that work in place; what cannot be written to is left as it was and given anew."""
    try:
        return x.copy_(healed)
    except RuntimeError:
        return healed


def _reason(name: str) -> str:
    if name in LAYING_OUT:
        return "lays positions out in a fixed order; what follows treats each of them in its own way"
    if name.strip("_") in ("add", "radd", "iadd", "mul", "rmul", "imul", "sub", "rsub"):
        return "meets numbers that do not turn with the panorama, such as an embedding of positions"
    return "does not turn with the panorama"
