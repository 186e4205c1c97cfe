"""Results of JAX for ``jax_cases``, written to a file: ``python jax_reference.py answers.npz``.

In a process of its own, because JAX keeps threads and later tests fork; many cases in one compilation, because that is
what takes time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax_cases import Case, all_cases, numbers, signal, weight

LAYOUTS = {1: ("NCH", "OIH", "NCH"), 2: ("NCHW", "OIHW", "NCHW")}
AT_ONCE = 120


def convolution(case: Case, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, case.stride, case.padding, rhs_dilation=case.dilation)


def transposed(case: Case, x: Array, kernel: Array) -> Array:
    """Transpose the convolution with this kernel, as Keras does."""
    return lax.conv_transpose(
        x, kernel, case.stride, case.padding, rhs_dilation=case.dilation,
        dimension_numbers=LAYOUTS[len(case.sizes)], transpose_kernel=True,
    )  # fmt: skip


def windows(case: Case, x: Array, start: float, reduction: Callable[[Array, Array], Array]) -> Array:
    kernel, stride, dilation = ((1, 1, *numbers) for numbers in (case.kernel, case.stride, case.dilation))
    return lax.reduce_window(x, start, reduction, kernel, stride, case.padding, window_dilation=dilation)


def maximum(case: Case, x: Array, kernel: Array) -> Array:
    return windows(case, x, -jnp.inf, lax.max)


def mean(case: Case, x: Array, kernel: Array) -> Array:
    """Average without padded samples, as TensorFlow and Keras do."""
    sums = windows(case, jnp.concatenate([x, jnp.ones_like(x[:1])]), 0.0, lax.add)
    return sums[:-1] / sums[-1]


FUNCTIONS = {
    "convolution": {"": convolution},
    "transposed": {"": transposed},
    "pooling": {"max ": maximum, "mean ": mean},
}


def answers(cases: Sequence[Case], signals: Sequence[Array], weights: Sequence[Array]) -> dict[str, Array]:
    """Return outputs, and for some cases gradients of input and weight, by the case's name."""
    found = {}
    for case, x, kernel in zip(cases, signals, weights, strict=True):
        for prefix, function in FUNCTIONS[case.operator].items():
            name = prefix + case.name
            found[name] = function(case, x, kernel)
            if case.gradients and found[name].size:
                _, back = jax.vjp(lambda *both, function=function, case=case: function(case, *both), x, kernel)
                found[f"{name} input"], found[f"{name} weight"] = back(jnp.asarray(numbers(*found[name].shape)))
    return found


def main(path: str) -> None:
    cases, found = all_cases(), {}
    for start in range(0, len(cases), AT_ONCE):
        some = cases[start : start + AT_ONCE]
        ask = jax.jit(lambda signals, weights, some=some: answers(some, signals, weights))
        found |= ask([signal(case) for case in some], [weight(case) for case in some])
    np.savez(path, **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main(sys.argv[1])
