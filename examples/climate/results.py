"""Records of trainings, one for each surface in one file, and their table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from omniconv.errors import FileError
from omniconv.files import write_bytes

Record = dict[str, Any]


def load(path: Path) -> list[Record]:
    """Return the records of a file; none if it does not exist.

    Raises:
        FileError: a file of something else.
    """
    if not path.is_file():
        return []
    try:
        return [dict(each, name=each["name"]) for each in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(path, "is not a results file of this example", "move it away, or give another --out") from error


def save(found: Sequence[Record], path: Path) -> list[Record]:
    """Write records beside those of other names; return all."""
    names = {record["name"] for record in found}
    records = sorted([*found, *(each for each in load(path) if each["name"] not in names)], key=lambda one: one["name"])
    texts = ",\n".join(json.dumps(each, ensure_ascii=False) for each in records)
    write_bytes(path, f"[\n{texts}\n]\n".encode())
    return records


def table(records: Sequence[Record]) -> Table:
    """Return a table of the statistics."""
    made = Table(title="Annual temperature beside the held-out member", title_justify="left")
    made.add_column("maps")
    columns = (
        "variance", "std, rms of log", "zonal mean, K", "large scales, dB", "small scales, dB", "nearest training",
        "authentic", "seam", "poles",
    )  # fmt: skip
    for column in columns:
        made.add_column(column, justify="right")
    for record in records:
        numbers = [f"{record[key]:.2f}" for key in ("variance", "std_rms", "zonal_mean_rms", "large_scales_db")]
        numbers.append(f"{record['small_scales_db']:+.2f}")
        numbers += (
            [f"{record['nearest']:.3f}", f"{100 * record['authentic']:.0f} %"] if "nearest" in record else ["–"] * 2
        )
        numbers.append(f"{record['seam']:.2f} ± {record['seam_spread']:.2f}")
        made.add_row(record["name"], *numbers, " ".join(f"{ratio:.2f}" for ratio in record["poles"]))
    return made
