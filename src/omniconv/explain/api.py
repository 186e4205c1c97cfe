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
from omniconv.files import atomic_write, check_overwrite


@dataclass(frozen=True)
class Options:
    """Options that all explanations share, as text."""

    input: str  # 7 or 5x8
    kernel: str  # taps, 3 or by axis 3,2
    stride: str | None = None  # 1 or by axis; the kernel if None
    padding: str = "0"  # 1 or 1,2 or 1:0,2:1 or a name
    dilation: str = "1"  # 1 or by axis
    mode: str = "zeros"  # circular or pole,circular or zeros:reflect,circular
    seed: str = "0"  # of the numbers in the cells

    def parse(self, value: float = 0.0) -> tuple[tuple[int, ...], Arguments]:
        """Return the sizes of the input and the arguments of the layer."""
        sizes = parse_sizes(self.input)
        ndim = len(sizes)
        kernel = parse_numbers("kernel", self.kernel, ndim)
        stride = kernel if self.stride is None else parse_numbers("stride", self.stride, ndim)
        padding, dilation = parse_padding(self.padding, ndim), parse_numbers("dilation", self.dilation, ndim)
        return sizes, Arguments(kernel, stride, padding, dilation, parse_border(self.mode, ndim, value))


def explain_conv(
    options: Options, value: str | None = None, transposed: bool = False, output_padding: str | None = None
) -> Scene:
    """Return the scene of a convolution or transposed convolution; ``value`` is the constant of mode ``zeros``."""
    if value is not None and transposed:
        raise InputError("value", value, "has no meaning with --transposed, which drops constants", "leave it out")
    constant = 0.0 if value is None else parse_float("value", value, -999, 999, "1")
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
    """Return the scene of a pooling; ``p`` is the exponent of ``kind="lp"``."""
    require_choice("kind", kind, get_args(PoolKind))
    if count_include_pad and kind != "average":
        raise InputError("count_include_pad", True, "needs --kind average", "leave it out")
    if p is not None and kind != "lp":
        raise InputError("p", p, "needs --kind lp", "add it, or leave this out")
    power = 2.0 if p is None else parse_float("p", p, 0.5, 16, "2")  # below 0.5 results outgrow their cells
    sizes, arguments = options.parse()
    geometry = require_drawable(pool_geometry(sizes, arguments, ceil_mode))
    pooling = Pooling(cast(PoolKind, kind), ceil_mode, count_include_pad, power)
    return pool_scene(geometry, pooling, parse_seed(options.seed))


def explain_unpool(options: Options, ceil_mode: bool = False) -> Scene:
    """Return the scene of max pooling with switches, and of unpooling; the options are those of the pooling."""
    sizes, arguments = options.parse()
    geometry = require_drawable(pool_geometry(sizes, arguments, ceil_mode))
    return unpool_scene(geometry, Pooling("max", ceil_mode), parse_seed(options.seed))


def parse_seconds(text: str) -> float:
    """Return the duration of a step."""
    return parse_float("seconds", text, 0.05, 60, "1")


def check_out(out: Path, overwrite: bool) -> None:
    """Check, before anything is drawn, that a scene can be written to a file."""
    if out.suffix.lower() not in (".gif", ".html"):
        raise InputError("out", str(out), "must end in .gif or .html", "write --out explain.gif or --out explain.html")
    try:
        if not out.parent.is_dir():
            raise FileError(out.parent, "is not a folder", "make it, or choose another folder with --out")
        if out.is_dir():
            raise FileError(out, "is a folder", "choose another path with --out")
        check_overwrite([out], overwrite)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(out, f"cannot be written ({reason})", "choose another path with --out") from error


def write_scene(scene: Scene, out: Path, seconds: float) -> None:
    """Draw a scene and write it, as a GIF or a page by the suffix of the name."""
    content = gif_bytes(scene, seconds) if out.suffix.lower() == ".gif" else html_text(scene, seconds).encode()
    with atomic_write(out) as file:
        file.write(content)
