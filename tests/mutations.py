"""Random damage to the text files of a run: of their bytes, and of the structure of JSON, YAML, CSV and lists."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 255, 2**31, 2**63, 10**30, 10**400, 0.5, -0.5, 1e308, 1e-320, -0.0, "", "x", "0",
    "16", "plane", "icosphere:2", "icosphere:9", "equirectangular", "healpix:4096", "segment", "classify", "unet", "/",
    ".", "..", "/dev/zero", "/dev/null", "/proc/self/mem", "~", "a\0b", "\ud800", "\x1b[2J\n", "é" * 5000, "9" * 5000,
    "[" * 5000, [], {}, [None], [[]], [1, 2], [16, 32], ["a", "b"], {"a": 1}, {"a": {"b": [1]}}, [[[[[[[[1]]]]]]]],
    list(range(300)),
)  # fmt: skip
"""Values that stand in for others in JSON."""
WORDS = (
    "", "~", "null", "true", "no", "0", "1", "-1", "3", "0.5", "1e-3", ".nan", ".inf", "nan", "inf", "-inf", "1e999",
    "9" * 5000, "0x_", "0b_", "1:30", "1_000", "2001-13-45", "2001-01-01", "!!int x", "!!float x", "!!binary x",
    "!!timestamp x", "!!python/name:os.system", "!!python/object/apply:os.system [ls]", "&a [*a]", "*a", "<<: {}",
    "[16, 32]", "[1", "{a: 1}", "{a: {b: 1}}", "{", "'", '"\\0"', '"\\ud800"', "|", ">", "? a", "- a", "@", "`", "%",
    "plane", "icosphere:2", "icosphere:9", "equirectangular", "cubemap:99999", "segment", "classify", "unet",
    "classifier", "flip,turn", "max", "transposed", "bf16", "cuda", "/", ".", "..", "/dev/zero", "a\tb", "é" * 3000,
    "[" * 3000, "x" * 200_000, "\x1b[2J", "\0", "[1, 2, 3]", "[[1]]", "=1+1",
)  # fmt: skip
"""Texts that stand in for others in YAML, CSV and lists of names."""
BYTES = (
    b"", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b"\x1b[2J", b"\xc3", b"\xed\xa0\x80",
    b"[", b"{", b'"', b",", b":", b"-", b"#", b"e", b"9" * 400, b"[" * 100_000, b"\n" * 1000, b"\x85", b"\xe2\x80\xa8",
)  # fmt: skip


def mutate(path: Path, content: bytes, dice: random.Random) -> bytes:
    """Return the content of a file with one or two random damages that its suffix allows."""
    structured = {".json": _json, ".yaml": _yaml, ".csv": _csv, ".txt": _lines}[path.suffix]
    for _ in range(dice.choice((1, 1, 1, 2))):
        change: Callable[[bytes, random.Random], bytes] = structured if dice.random() < 0.7 else _bytes
        content = change(content, dice)
    return content


def _bytes(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content) + 1)
    stop = min(len(content), start + dice.choice((0, 1, 1, 2, 8, 64, 10**6)))
    kind = dice.randrange(7)
    if kind == 0 and content:  # flip a bit
        index = dice.randrange(len(content))
        return content[:index] + bytes([content[index] ^ (1 << dice.randrange(8))]) + content[index + 1 :]
    if kind == 1:  # the same text in another encoding
        encodings = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp500")
        return content.decode("utf-8", "replace").encode(dice.choice(encodings), "replace")
    if kind == 2:  # repeat
        return content[:stop] + content[start:]
    if kind == 3:  # cut
        return content[:start]
    if kind == 4:  # swap two parts
        return content[start:] + content[:start]
    return content[:start] + dice.choice(BYTES) + content[stop:]


def _json(content: bytes, dice: random.Random) -> bytes:
    try:
        root = json.loads(content)
    except (ValueError, RecursionError):
        return _bytes(content, dice)
    places = _places(root)
    if not places or dice.random() < 0.03:
        return json.dumps(dice.choice(VALUES)).encode()
    parent, key = dice.choice(places)
    kind = dice.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1:  # a value of another place
        other, place = dice.choice(places)
        parent[key] = copy.deepcopy(other[place])
    elif kind == 2 and isinstance(parent, dict):  # another name
        parent[dice.choice((key + "x", "", "a\nb", *parent))] = parent.pop(key)
    elif kind == 2:
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[key] = _near(parent[key], dice) if dice.random() < 0.3 else dice.choice(VALUES)
    return json.dumps(root, indent=2).encode()


def _near(value: Any, dice: random.Random) -> Any:
    """Return a value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return dice.choice((-value, value + 1, value * 10, value / 3, 0 * value))
    if isinstance(value, str):
        return dice.choice((value[1:], value + value, value.upper(), value + "/..", "../" + value, value + "\0"))
    return dice.choice((value[:1], value + value)) if isinstance(value, list) else value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in nested lists and objects, as the container and the key or index."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *_places(value[key]))]


def _yaml(content: bytes, dice: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").split("\n")
    index = dice.choice([i for i, line in enumerate(lines) if line and not line.startswith("#")] or [0])
    name, _, value = lines[index].partition(": ")
    kind = dice.randrange(9)
    if kind == 0:
        del lines[index]
    elif kind == 1:
        lines.insert(index, lines[index])
    elif kind == 2:
        lines[index] = f"{name}x: {value}"
    elif kind == 3:
        lines[index] = "  " * dice.randrange(1, 3) + lines[index]
    elif kind == 4:
        lines[index] = f"{dice.choice(WORDS)}: {value}"
    else:
        lines[index] = f"{name}: {dice.choice(WORDS)}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _csv(content: bytes, dice: random.Random) -> bytes:
    rows = [line.split(",") for line in content.decode("utf-8", "replace").split("\n")]
    row = dice.choice(rows)
    column = dice.randrange(len(row))
    kind = dice.randrange(6)
    if kind == 0:
        del row[column]
    elif kind == 1:
        rows.append(row)
    elif kind == 2:
        rows.remove(row)
    else:
        row[column] = dice.choice(WORDS)
    return "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")


def _lines(content: bytes, dice: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").split("\n")
    index = dice.randrange(len(lines))
    kind = dice.randrange(5)
    if kind == 0:
        del lines[index]
    elif kind == 1:
        lines.insert(index, lines[index])
    else:
        lines[index] = dice.choice(WORDS)
    return "\n".join(lines).encode("utf-8", "surrogatepass")
