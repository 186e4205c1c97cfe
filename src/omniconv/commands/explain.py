"""``omniconv explain``: convolution, pooling and unpooling as moving pictures with the user's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv.errors import InputError

if TYPE_CHECKING:
    from omniconv.explain.story import Story

WORDS = ("input", "kernel", "stride", "padding", "dilation", "mode", "seed")


@click.group(invoke_without_command=True)
@click.pass_context
def explain(context: click.Context) -> None:
    """Show by a moving picture what a convolution, pooling or unpooling does.

    Writes a GIF or a page to step through, with the arithmetic beside it:

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
    """Options that all explanations share; they stay words here."""
    steps = "step from one window to the next" + ("" if stride else "; by default the kernel")
    options = [
        click.option("--input", default="7", show_default=True, metavar="N|HxW", help="size: a row or a grid"),
        click.option("--kernel", default=kernel, show_default=True, metavar="N[,N]", help="taps, by axis if need be"),
        click.option("--stride", default=stride, show_default=bool(stride), metavar="N[,N]", help=steps),
        click.option("--padding", default="0", show_default=True, metavar="PADDING",
                     help="1, by axis 1,2, by side (before:after) 1:0,2:1, or valid, same, same_upper, same_lower"),
        click.option("--dilation", default="1", show_default=True, metavar="N[,N]", help="step between taps"),
        click.option("--mode", default="zeros", show_default=True, metavar="MODE",
                     help="what padded cells hold: zeros, reflect, replicate, circular or pole; by axis pole,circular, "
                     "by side zeros:reflect,circular"),
        click.option("--seed", default="0", show_default=True, metavar="N", help="of the numbers in the cells"),
        click.option("--seconds", default="0.8", show_default=True, metavar="NUMBER", help="how long each step stands"),
        click.option("--out", type=click.Path(path_type=Path), default=Path("explain.gif"), show_default=True,
                     help="file to write, *.gif or *.html"),
        click.option("--overwrite", is_flag=True, help="replace what is there already"),
    ]  # fmt: skip

    def add(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return add


CEIL = click.option("--ceil-mode", is_flag=True, help="round sizes up: a last window may hang over the end")


@explain.command()
@_options(stride="1", kernel="3")
@click.option("--value", metavar="NUMBER", help="what zeros pads with instead of 0")
@click.option("--transposed", is_flag=True, help="the transposed convolution, the adjoint of the one described")
@click.option("--output-padding", metavar="N[,N]", help="which of the sizes that convolve to the input's is meant")
def conv(value: str | None, transposed: bool, output_padding: str | None, **words: Any) -> None:
    """A convolution: the kernel moves over the padded input.

    Padded cells have the number and the colour of the sample that they copy. With --transposed each input sample is
    spread through the kernel, and what falls past an edge goes back to where the convolution reads it.
    """
    from omniconv.explain.asking import Words, explain_convolution

    _write(words, lambda given: explain_convolution(Words(**given), value, transposed, output_padding))


@explain.command()
@_options(stride=None, kernel="2")
@click.option("--kind", default="max", show_default=True, metavar="KIND", help="max, average or lp")
@CEIL
@click.option("--count-include-pad", is_flag=True, help="means count zeros past an edge")
@click.option("--p", metavar="NUMBER", help="exponent of --kind lp  [default: 2]")
def pool(kind: str, ceil_mode: bool, count_include_pad: bool, p: str | None, **words: Any) -> None:
    """A pooling: the maximum, mean or norm of each window."""
    from omniconv.explain.asking import Words, explain_pooling

    _write(words, lambda given: explain_pooling(Words(**given), kind, ceil_mode, count_include_pad, p))


@explain.command()
@_options(stride=None, kernel="2")
@CEIL
def unpool(ceil_mode: bool, **words: Any) -> None:
    """Max pooling with switches, and unpooling back."""
    from omniconv.explain.asking import Words, explain_unpooling

    _write(words, lambda given: explain_unpooling(Words(**given), ceil_mode))


def _write(words: dict[str, Any], tell: Callable[[dict[str, str]], Story]) -> None:
    """Tell the story of some words and write it where it is wanted."""
    from omniconv.explain.writing import check_out, parse_seconds, write_story

    seconds = parse_seconds(words["seconds"])
    check_out(words["out"], words["overwrite"])
    write_story(tell({name: words[name] for name in WORDS}), words["out"], seconds)
    click.echo(words["out"])
