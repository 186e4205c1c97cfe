"""Conversion of a network to a ``torch.export`` program of standard operators, with dynamic batch and grid sizes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.convert.overrides.module_class import conversion_of, named_modules
from omniconv.convert.overrides.tangent import TangentOverrides
from omniconv.errors import InputError, truncate
from omniconv.nn.inspection import copy_network
from omniconv.nn.rows.modules import RowConvolution
from omniconv.nn.stencil.modules import SparseOperator

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of the dynamic grid axes."""


def to_program(network: nn.Module, inputs: Sequence[Tensor], min_size: int | None) -> torch.export.ExportedProgram:
    """Export a network for any batch size.

    Args:
        network: takes a signal ``(batch, channels, *grid)`` and perhaps further tensors with a batch axis, and returns
            tensors, alone or in tuples or dictionaries.
        inputs: such tensors.
        min_size: smallest size of each grid axis; ``None`` fixes the grid of the example.

    Raises:
        InputError: the network cannot be exported, or only for a fixed size.
    """
    grid: dict[int, Any] = {}
    if min_size is not None:
        names = AXES[inputs[0].ndim - 2]
        grid = {axis: torch.export.Dim(name, min=min_size) for axis, name in enumerate(names, start=2)}
    sizes = [{0: torch.export.Dim("batch"), **(grid if x.ndim > 2 else {})} for x in inputs]
    batch = tuple(torch.stack([*x.expand(2, *x.shape[1:])]) for x in inputs)  # a batch size of 1 would become fixed
    try:
        with silenced_exporter(), torch.no_grad():
            network = with_standard_ops(network)
            if any(_tangent_overrides(network)):
                network(*inputs)  # their tables are built outside of the tracing
            dynamic = signature(network.forward).bind(*sizes).arguments
            program = torch.export.export(network, batch, dynamic_shapes=dict(dynamic), strict=False)
    except (AssertionError, RuntimeError, ValueError) as error:  # AssertionError: torch 2.13, of its own solver
        rule = f"cannot be exported ({_first_lines(error)})"
        if min_size is not None:
            raise InputError("any_size", True, rule, "export it for one size: any_size=False") from error
        cure = "remove branches that depend on values of the data"
        raise InputError("network", type(network).__name__, rule, cure) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # contains local paths
    return program


def with_standard_ops(network: nn.Module) -> nn.Module:
    """Return a copy of a network, in evaluation mode, that calls no custom op of omniconv."""
    network = copy_network(network).eval()
    for module in network.modules():
        if isinstance(module, SparseOperator | RowConvolution):
            module.use_standard_ops()
    for overrides in _tangent_overrides(network):
        overrides.use_standard_ops()
    return network


def _tangent_overrides(network: nn.Module) -> Iterator[TangentOverrides]:
    """Yield the overrides of each network inside that is converted to tangent planes."""
    conversions = {
        id(found.overrides): found for _, module in named_modules(network) if (found := conversion_of(module))
    }
    for conversion in conversions.values():
        if isinstance(conversion.overrides, TangentOverrides):
            yield conversion.overrides


@contextmanager
def silenced_exporter() -> Iterator[None]:
    """Suppress the logs and warnings of torch's exporters, which are meant for torch's developers."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_lines(error: Exception) -> str:
    lines = [line.strip(" -.") for line in str(error).splitlines() if line.strip()]
    return truncate(" ".join(lines[:2]) or type(error).__name__)
