"""``omniconv explain``: animations of one convolution, pooling or unpooling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv.commands.command import NearestGroup
from omniconv.commands.terminal import log
from omniconv.errors import InputError

if TYPE_CHECKING:
    from omniconv.explain.scene import Scene

SHARED = ("input", "kernel", "stride", "padding", "dilation", "mode", "seed")


@click.group(cls=NearestGroup, invoke_without_command=True)
@click.pass_context
def explain(context: click.Context) -> None:
    """Animate a convolution, pooling or unpooling, window by window.

    Writes a GIF, or an HTML page to step through, with the arithmetic of each step:

    \b
        omniconv explain conv --input 7 --kernel 3 --stride 2 --padding 1 --dilation 2
        omniconv explain conv --input 5x8 --padding 1 --mode circular --out circular.html
        omniconv explain conv --input 4x8 --padding same --mode pole,circular
        omniconv explain conv --input 4 --transposed --stride 2 --padding same --mode reflect
        omniconv explain pool --kind average --input 5x7 --kernel 3 --stride 2 --ceil-mode
        omniconv explain unpool --input 5x5 --kernel 3 --stride 2 --padding 1
    """
    if context.invoked_subcommand is None:
        raise InputError("WHAT", None, "must be one of conv, pool, unpool", "write: omniconv explain conv --input 7")


def _options(stride: str | None, kernel: str) -> Callable[[Callable], Callable]:
    """Return the options that all commands share; their values stay text here, and ``Options`` parses them."""
    stride_help = "step from one window to the next" + ("" if stride else "; by default the kernel")
    options = [
        click.option("--input", default="7", show_default=True, metavar="N|HxW", help="size of a row or a grid"),
        click.option("--kernel", default=kernel, show_default=True, metavar="N[,N]", help="number of taps"),
        click.option("--stride", default=stride, show_default=bool(stride), metavar="N[,N]", help=stride_help),
        click.option("--padding", default="0", show_default=True, metavar="PADDING",
                     help="N for all axes, N,N per axis, N:N,N:N before:after per axis, or valid, same, same_upper "
                     "(TensorFlow's SAME, ONNX's SAME_UPPER), same_lower (ONNX's SAME_LOWER)"),
        click.option("--dilation", default="1", show_default=True, metavar="N[,N]", help="step between taps"),
        click.option("--mode", default="zeros", show_default=True, metavar="MODE",
                     help="content of the padding: zeros, reflect, replicate, circular or pole; by axis pole,circular, "
                     "by side zeros:reflect,circular"),
        click.option("--seed", default="0", show_default=True, metavar="N", help="seed of the numbers in the cells"),
        click.option("--seconds", default="0.8", show_default=True, metavar="NUMBER", help="duration of a step"),
        click.option("--out", type=click.Path(path_type=Path), default=Path("explain.gif"), show_default=True,
                     help="file to write, *.gif or *.html"),
        click.option("--overwrite", is_flag=True, help="replace existing files"),
    ]  # fmt: skip

    def add(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return add


CEIL = click.option("--ceil-mode", is_flag=True, help="round sizes up: the last window may hang over the end")


@explain.command()
@_options(stride="1", kernel="3")
@click.option("--value", metavar="NUMBER", help="constant of mode zeros  [default: 0]")
@click.option("--transposed", is_flag=True, help="transposed convolution")
@click.option("--output-padding", metavar="N[,N]", help="samples added to the end of the output")
def conv(value: str | None, transposed: bool, output_padding: str | None, **options: Any) -> None:
    """Animate a convolution: the kernel moves over the padded input.

    A padded cell has the number and the colour of the sample that it copies. With --transposed each input sample times
    the kernel is added to the output; values that fall past an edge are added to the sample that the convolution would
    read there.
    """
    from omniconv.explain.api import Options, explain_conv

    _write(options, lambda shared: explain_conv(Options(**shared), value, transposed, output_padding))


@explain.command()
@_options(stride=None, kernel="2")
@click.option("--kind", default="max", show_default=True, metavar="KIND", help="max, average or lp")
@CEIL
@click.option("--count-include-pad", is_flag=True, help="means count zeros of the padding")
@click.option("--p", metavar="NUMBER", help="exponent of --kind lp  [default: 2]")
def pool(kind: str, ceil_mode: bool, count_include_pad: bool, p: str | None, **options: Any) -> None:
    """Animate a pooling: the maximum, mean or norm of each window."""
    from omniconv.explain.api import Options, explain_pool

    _write(options, lambda shared: explain_pool(Options(**shared), kind, ceil_mode, count_include_pad, p))


@explain.command()
@_options(stride=None, kernel="2")
@CEIL
def unpool(ceil_mode: bool, **options: Any) -> None:
    """Animate max pooling with switches, and unpooling."""
    from omniconv.explain.api import Options, explain_unpool

    _write(options, lambda shared: explain_unpool(Options(**shared), ceil_mode))


def _write(options: dict[str, Any], make_scene: Callable[[dict[str, str]], Scene]) -> None:
    from omniconv.explain.api import check_out, parse_seconds, write_scene

    seconds = parse_seconds(options["seconds"])
    check_out(options["out"], options["overwrite"])
    write_scene(make_scene({name: options[name] for name in SHARED}), options["out"], seconds)
    log(options["out"])
