"""Damaged files of networks: mutants of a safetensors file, each with a valid or an invalid structure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from omniconv.models.storage.model_file import WITHOUT_CHECKSUM
from omniconv.models.storage.tensor_file import CHECKSUM

Mutate = Callable[[bytes, np.random.Generator], bytes]


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data of a file."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def join(header: object, data: bytes) -> bytes:
    """Return a file of a header, as an object or as JSON, and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def without_checksum(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata of a file that was written before files had a checksum."""
    return {key: value for key, value in metadata.items() if key != CHECKSUM} | {"omniconv": WITHOUT_CHECKSUM}


def flip_bits(content: bytes, random: np.random.Generator) -> bytes:
    """Flip one to eight bits anywhere."""
    changed = np.frombuffer(content, np.uint8).copy()
    for _ in range(int(random.integers(1, 9))):
        changed[random.integers(len(changed))] ^= np.uint8(1 << random.integers(8))
    return changed.tobytes()


def flip_header(content: bytes, random: np.random.Generator) -> bytes:
    """Replace one to four characters of the header."""
    size = int.from_bytes(content[:8], "little")
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        changed[8 + int(random.integers(size))] = int(random.integers(32, 127))
    return bytes(changed)


def truncate(content: bytes, random: np.random.Generator) -> bytes:
    """Cut a file anywhere."""
    return content[: random.integers(len(content))]


def append(content: bytes, random: np.random.Generator) -> bytes:
    """Append bytes."""
    return content + random.bytes(int(random.integers(1, 1000)))


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    """Overwrite a block with zeros, noise or another block of the file."""
    start, length = int(random.integers(len(content))), int(random.integers(1, 512))
    other = int(random.integers(len(content)))
    block = (bytes(length), random.bytes(length), content[other : other + length])[random.integers(3)]
    return (content[:start] + block + content[start + len(block) :])[: len(content)]


def header_size(content: bytes, random: np.random.Generator) -> bytes:
    """State another size of the header."""
    size = int(random.choice([0, 1, 7, len(content), 2**23, 2**31, 2**40, 2**63 - 1, int(random.integers(4000))]))
    return size.to_bytes(8, "little") + content[8:]


def swap_tensors(content: bytes, random: np.random.Generator) -> bytes:
    """Exchange the data of two tensors."""
    header, data = split(content)
    first, second = random.choice([name for name in header if name != "__metadata__"], 2, replace=False)
    header[first], header[second] = header[second], header[first]
    return join(header, data)


def change_spec(content: bytes, random: np.random.Generator) -> bytes:
    """Change the dtype, the shape or the offsets of one tensor."""
    header, data = split(content)
    entry = header[random.choice([name for name in header if name != "__metadata__"])]
    values: dict[str, list[Any]] = {
        "dtype": ["I32", "U32", "F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "C64", "F4", "", None, 5, ["F32"]],
        "shape": [[], entry["shape"][::-1], [-1], [2**62, 4], [0], "2", None, [1.5], [[2]], entry["shape"] + [1], {}],
        "data_offsets": [[0, 0], [0, len(data)], [8, 4], [-8, 0], [2**63, 2**64], [0], None, ["0", "8"], [0, 4, 8], {}],
    }
    key = random.choice(list(values))
    entry[key] = values[key][random.integers(len(values[key]))]
    return join(header, data)


def change_names(content: bytes, random: np.random.Generator) -> bytes:
    """Rename, remove, repeat or add a tensor."""
    header, data = split(content)
    name = str(random.choice([name for name in header if name != "__metadata__"]))
    text = json.dumps(header)
    entry = json.dumps(header[name])
    kind = int(random.integers(5))
    if kind == 0:
        header[random.choice(["x", "", "\ud800", name.upper(), name + "\n", "a" * 100_000])] = header.pop(name)
        return join(json.dumps(header).encode(), data)
    if kind == 1:
        del header[name]
        return join(header, data)
    if kind == 2:
        return join(f'{text[:-1]}, "{name}": {entry}}}'.encode(), data)
    if kind == 3:
        header["more"] = header[name]
        return join(header, data)
    header["more"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
    return join(header, data + random.bytes(8))


def change_metadata(content: bytes, random: np.random.Generator) -> bytes:
    """Change a key or a value of the metadata, which keep or lose their checksum."""
    header, data = split(content)
    metadata: Any = header["__metadata__"]
    key = str(random.choice([*metadata]))
    kind = int(random.integers(5))
    if kind == 0:
        del metadata[key]
    elif kind == 1:
        metadata[key] = ["", "2", "{}", "[" * 10_000, "null", "\ud800", "sha256:" + "0" * 64, "9" * 5000][
            random.integers(8)
        ]
    elif kind == 2:
        metadata[key] = [None, 1, [], {"a": "b"}, True][random.integers(5)]
    elif kind == 3:
        header["__metadata__"] = [None, [], "x", 1][random.integers(4)]
    else:
        metadata["more"] = "x" * int(random.integers(1, 10_000))
    return join(json.dumps(header).encode(), data)


ARGUMENTS: list[Any] = [
    0, 1, 3, -1, 7, 64, 1024, 2**36, 10**4000, 1.5, True, None, "", "max", "transposed", "silu", "x" * 10_000, [], [3],
    {}, [[[[1]]]], "icosphere:9", "icosphere:2", "equirectangular", "plane:ndim=3", "plane:border=circular",
    "healpix:1024", "equirectangular:height=8192,kernels=tangent", "equirectangular:height=8192,kernels=rows",
    "cubemap:100000", "cubemap:99999999999999999999", "icosphere:" + "9" * 5000, "plane:border=" + "zeros/" * 10_000,
]  # fmt: skip


def change_arguments(content: bytes, random: np.random.Generator) -> bytes:
    """Change the name, an argument or the preprocessing of a network, in a file that loses its checksum."""
    header, data = split(content)
    metadata = header["__metadata__"] = without_checksum(header["__metadata__"])
    description: Any = json.loads(metadata["description"])
    arguments = description["arguments"]
    kind = int(random.integers(6))
    if kind == 0:
        description["model"] = ["unet", "classifier", "os.system", "", None, 3, []][random.integers(7)]
    elif kind == 1:
        del arguments[str(random.choice([*arguments]))]
    elif kind == 2:
        arguments["more"] = 1
    elif kind == 3:
        for _ in range(2):
            arguments[str(random.choice([*arguments]))] = ARGUMENTS[random.integers(len(ARGUMENTS))]
    else:
        arguments[str(random.choice([*arguments]))] = ARGUMENTS[random.integers(len(ARGUMENTS))]
    metadata["description"] = json.dumps(description)
    return join(header, data)


def not_finite(content: bytes, random: np.random.Generator) -> bytes:
    """Put NaN or infinity into a tensor of floating-point numbers, in a file that loses its checksum."""
    header, data = split(content)
    header["__metadata__"] = without_checksum(header["__metadata__"])
    entry = header[random.choice([name for name in header if header[name].get("dtype") == "F32"])]
    first, end = entry["data_offsets"]
    values = np.frombuffer(data[first:end], np.float32).copy()
    values[random.integers(len(values))] = random.choice([np.nan, np.inf, -np.inf])
    return join(header, data[:first] + values.tobytes() + data[end:])


def nest(content: bytes, random: np.random.Generator) -> bytes:
    """Write a header of other JSON."""
    _, data = split(content)
    texts = (b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"null", b"3", b'"x"', b"", b"{}", b'{"a": {}}', b'{"a": [1]}',
             b'{"__metadata__": {"omniconv": "1"}}', b"\xff\xfe{}", b"1" * 10_000, b"NaN", b'{"a": 1e999}')  # fmt: skip
    return join(texts[random.integers(len(texts))], data)


MUTATIONS: tuple[Mutate, ...] = (
    flip_bits, flip_header, truncate, append, overwrite, header_size, swap_tensors, change_spec, change_names,
    change_metadata, change_arguments, not_finite, nest,
)  # fmt: skip
