"""Configuration of every test run, and fixtures of small data sets and trained runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from omniconv.run_folder import RunFolder

# The examples are no part of the package: they are imported from the repository's root.
sys.path.insert(0, str(Path(__file__).parents[1]))
# One thread for each pytest-xdist worker, since more would compete for the cores; tests/portable.py asks for two.
torch.set_num_threads(int(os.environ.get("OMNICONV_TEST_THREADS", "1")))


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what the battery of a model with ``quick_surfaces`` runs on others, its compilation and export."""
    for item in items:
        quick, call = getattr(getattr(item, "cls", None), "quick_surfaces", None), getattr(item, "callspec", None)
        if quick is None or call is None:
            continue
        compiles = "compiled" in item.name or "exported" in item.name
        if call.params.get("surface", quick[0]) not in quick or compiles:
            item.add_marker(pytest.mark.slow)


def pytest_report_header() -> str:
    """Return the arithmetic of this run: instruction sets decide the last bits of sums and sines."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return (
        f"arithmetic: torch {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads; "
        f"NumPy {' '.join([*simd.get('baseline', []), *simd.get('found', [])])}"
    )


@pytest.fixture(scope="session")
def segment_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures with masks; tests leave it as it is."""
    from tiny import segment_folder

    return segment_folder(tmp_path_factory.mktemp("data") / "boxes")


@pytest.fixture(scope="session")
def classify_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of two classes; tests leave it as it is."""
    from tiny import classify_folder

    return classify_folder(tmp_path_factory.mktemp("data") / "lights")


@pytest.fixture(scope="session")
def segment_run(tmp_path_factory: pytest.TempPathFactory, segment_data: Path) -> RunFolder:
    """A finished run of a plain U-Net on a plane, whose first epoch is the best; tests leave it as it is."""
    from tiny import PLAIN_UNET, trained

    return trained(tmp_path_factory.mktemp("run") / "flat", "segment", segment_data, epochs=2, **PLAIN_UNET)


@pytest.fixture(scope="session")
def generate_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run of a diffusion model with the classes 3 and 7; tests leave it as it is."""
    from tiny import picture, save, trained

    root = tmp_path_factory.mktemp("generate")
    for index in range(8):
        save(root / "digits" / "37"[index % 2] / f"{index}.png", picture(index, 8, 8)[0])
    settings = {"width": 4, "depth": 1, "epochs": 1, "batch_size": 4, "sample_every": 0}
    return trained(root / "run", "generate", root / "digits", **settings)


@pytest.fixture(scope="session")
def sphere_run(tmp_path_factory: pytest.TempPathFactory, segment_data: Path) -> RunFolder:
    """A finished run on panoramas; tests leave it as it is."""
    from tiny import trained

    settings = {"surface": "equirectangular", "width": 4, "epochs": 4, "repeat": 4, "learning_rate": 0.02}
    return trained(tmp_path_factory.mktemp("run") / "round", "segment", segment_data, **settings)


@pytest.fixture(scope="session")
def classify_run(tmp_path_factory: pytest.TempPathFactory, classify_data: Path) -> RunFolder:
    """A finished run that classifies; tests leave it as it is."""
    from tiny import trained

    return trained(tmp_path_factory.mktemp("run") / "sorter", "classify", classify_data)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place
