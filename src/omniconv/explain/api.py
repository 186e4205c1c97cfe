"""Scenes from options as the command line gives them, and files from scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from omniconv.errors import FileError, InputError
from omniconv.explain.conv import conv_scene, transposed_scene
from omniconv.explain.gif import gif_bytes
from omniconv.explain.page import html_text
from omniconv.explain.parsing import (
    parse_border,
    parse_float,
    parse_numbers,
    parse_padding,
    parse_seed,
    parse_sizes,
    require_choice,
)
from omniconv.explain.pool import Pooling, PoolKind, pool_scene, unpool_scene
from omniconv.explain.scene import Scene
from omniconv.explain.windows import Arguments, conv_geometry, pool_geometry, require_drawable, transposed_geometry
from omniconv.files import atomic_write


@dataclass(frozen=True)
class Options:
    """Options that all explanations share, as text.

    Args:
        input: ``7`` or ``5x8``.
        kernel: taps, ``3`` or by axis ``3,2``.
        stride: ``1`` or by axis; the kernel if ``None``.
        padding: ``1``, ``1,2``, ``1:0,2:1`` or a name.
        dilation: ``1`` or by axis.
        mode: ``circular``, ``pole,circular`` or ``zeros:reflect,circular``.
        seed: of the numbers in the cells.
    """

    input: str
    kernel: str
    stride: str | None = None
    padding: str = "0"
    dilation: str = "1"
    mode: str = "zeros"
    seed: str = "0"

    def parse(self, value: float = 0.0) -> tuple[tuple[int, ...], Arguments]:
        """Return the sizes of the input and the arguments of the layer.

        Raises:
            InputError: an option that cannot be parsed.
        """
        sizes = parse_sizes(self.input)
        ndim = len(sizes)
        kernel = parse_numbers("kernel", self.kernel, ndim)
        stride = kernel if self.stride is None else parse_numbers("stride", self.stride, ndim)
        padding, dilation = parse_padding(self.padding, ndim), parse_numbers("dilation", self.dilation, ndim)
        return sizes, Arguments(kernel, stride, padding, dilation, parse_border(self.mode, ndim, value))


def explain_conv(
    options: Options, value: str | None = None, transposed: bool = False, output_padding: str | None = None
) -> Scene:
    """Return the scene of a convolution or transposed convolution.

    Args:
        options: its arguments.
        value: constant of mode ``zeros``.
        transposed: whether the convolution is transposed.
        output_padding: of the transposed convolution.

    Raises:
        InputError: an option that cannot be parsed, or options that do not fit together.
    """
    if value is not None and transposed:
        raise InputError("value", value, "has no meaning with --transposed, which drops constants", "leave it out")
    rule = "must be a number from -999 to 999"
    constant = parse_float(
        "value", "0" if value is None else value, lambda number: abs(number) <= 999, rule, "write --value 1"
    )
    sizes, arguments = options.parse(constant)
    if value is not None and not any("zeros" in sides for sides in arguments.border.modes):
        rule = f"has no meaning with --mode {options.mode}"
        raise InputError("value", value, rule, "leave it out, or use --mode zeros")
    if transposed:
        extra = parse_numbers("output_padding", output_padding or "0", len(sizes), least=0)
        geometry = require_drawable(transposed_geometry(sizes, arguments, extra))
        return transposed_scene(geometry, extra, parse_seed(options.seed))
    if output_padding is not None:
        raise InputError("output_padding", output_padding, "needs --transposed", "add it, or leave this out")
    return conv_scene(require_drawable(conv_geometry(sizes, arguments)), parse_seed(options.seed))


def explain_pool(
    options: Options, kind: str = "max", ceil_mode: bool = False, count_include_pad: bool = False, p: str | None = None
) -> Scene:
    """Return the scene of a pooling.

    Args:
        options: its arguments.
        kind: ``max``, ``average`` or ``lp``.
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether means count zeros of the padding.
        p: exponent of the norm.

    Raises:
        InputError: an option that cannot be parsed, or options that do not fit together.
    """
    require_choice("kind", kind, get_args(PoolKind))
    if count_include_pad and kind != "average":
        raise InputError("count_include_pad", True, "needs --kind average", "leave it out")
    if p is not None and kind != "lp":
        raise InputError("p", p, "needs --kind lp", "add it, or leave this out")
    rule = "must be a number from 0.5 to 16, to be drawn"
    power = parse_float("p", "2" if p is None else p, lambda number: 0.5 <= number <= 16, rule, "write --p 2")
    sizes, arguments = options.parse()
    geometry = require_drawable(pool_geometry(sizes, arguments, ceil_mode))
    pooling = Pooling(cast(PoolKind, kind), ceil_mode, count_include_pad, power)
    return pool_scene(geometry, pooling, parse_seed(options.seed))


def explain_unpool(options: Options, ceil_mode: bool = False) -> Scene:
    """Return the scene of max pooling with switches, and of unpooling.

    Args:
        options: arguments of the pooling.
        ceil_mode: whether its sizes are rounded up.

    Raises:
        InputError: an option that cannot be parsed.
    """
    sizes, arguments = options.parse()
    geometry = require_drawable(pool_geometry(sizes, arguments, ceil_mode))
    return unpool_scene(geometry, Pooling("max", ceil_mode), parse_seed(options.seed))


def parse_seconds(text: str) -> float:
    """Return the duration of a step.

    Raises:
        InputError: not a number from 0.05 to 60.
    """
    rule = "must be a number from 0.05 to 60"
    return parse_float("seconds", text, lambda number: 0.05 <= number <= 60, rule, "write --seconds 1")


def check_out(out: Path, overwrite: bool) -> None:
    """Check, before anything is drawn, that a scene can be written to a file.

    Raises:
        InputError: another suffix than .gif or .html.
        FileError: no such folder, a folder of that name, or a file that must not be replaced.
    """
    if out.suffix.lower() not in (".gif", ".html"):
        raise InputError("out", str(out), "must end in .gif or .html", "write --out explain.gif or --out explain.html")
    try:
        if not out.parent.is_dir():
            raise FileError(out.parent, "is not a folder", "make it, or choose another folder with --out")
        if out.is_dir():
            raise FileError(out, "is a folder", "choose another name with --out")
        if out.exists() and not overwrite:
            raise FileError(out, "exists already", "add --overwrite, or choose another name with --out")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(out, f"cannot be written ({reason})", "choose another name with --out") from error


def write_scene(scene: Scene, out: Path, seconds: float) -> None:
    """Draw a scene and write it, as a GIF or a page by the suffix of the name.

    Raises:
        InputError: the scene is too large to be drawn.
        FileError: the file cannot be written.
    """
    is_gif = out.suffix.lower() == ".gif"
    content = gif_bytes(scene, seconds) if is_gif else html_text(scene, seconds).encode()
    with atomic_write(out) as file:
        file.write(content)
