"""Private APIs of torch that omniconv calls, gathered here so that an upgrade of torch has one file to check.

The test suite runs them on torch 2.13.0 (CPU); ``pyproject.toml`` admits torch 2.6 and later. One more private name,
``torch.nn.Module._slow_forward``, is overridden in ``omniconv.nn.jit_tracing``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

HAS_ONEDNN_LINEAR = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

C_PAD = torch._C._nn.pad
"""C++ function under ``torch.nn.functional.pad``; traced and scripted programs call it directly."""


def functorch_is_active() -> bool:
    """Return True inside a transform of ``torch.func``, such as ``vmap`` or ``jvp``."""
    return torch._C._are_functorch_transforms_active()


def needs_forward_ad() -> bool:
    """Return True in forward-mode differentiation and ``torch.func``, which custom ops lack.

    ``torch.library`` registers backward formulas only.
    """
    return functorch_is_active() or forward_ad._current_level >= 0


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute ``x @ weight.T + bias`` by oneDNN's kernel of linear layers, float32 on the CPU."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def active_function_modes() -> Iterator[TorchFunctionMode]:
    """Yield the entered ``TorchFunctionMode`` objects, the outermost first."""
    for index in range(torch._C._len_torch_function_stack()):
        yield torch._C._get_function_stack_at(index)


def symbolic_constant(number: torch.SymInt) -> int | None:
    """Return the value of a symbolic integer that is the same for every size, else ``None``."""
    return number.node.maybe_as_int()


def statically_known_true(condition: bool | torch.SymBool) -> bool:
    """Return True if a condition on symbolic sizes holds for all of them, without adding a guard."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # imports sympy: 0.5 s

    return statically_known_true(condition)


def without_dispatch_modes() -> AbstractContextManager[None]:
    """Return a context outside the fake and tracing modes that are entered: tensors made in it are real."""
    from torch.utils._python_dispatch import _disable_current_modes

    return _disable_current_modes()


def fake_copies(tensors: list[Tensor], x: Tensor) -> list[Tensor]:
    """Return fake copies of tensors if ``x`` is of a ``FakeTensorMode`` that takes no real ones, else the tensors."""
    mode = getattr(x, "fake_mode", None)
    if mode is None or mode.allow_non_fake_inputs or torch.compiler.is_compiling():
        return tensors
    return [mode.from_tensor(tensor) for tensor in tensors]
