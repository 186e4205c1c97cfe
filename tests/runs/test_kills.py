"""Runs that are killed, or whose disk is full, at any moment; ``kills.py`` is the campaign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.command


def campaign(*arguments, timeout=280):
    """Run a campaign in a process of its own: torch cannot be forked once it has run a backward pass."""
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.parametrize(
    "kind", ["steps", *(pytest.param(name, marks=pytest.mark.slow) for name in ("full", "random"))]
)
def test_some_moments(kind):
    assert campaign(kind, "3", "--scenario", "segment")["done"]["segment"] >= 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.parametrize("arguments", [("steps",), ("full",), ("random", "1000"), ("stops", "300")])
def test_every_moment(arguments):
    campaign(*arguments, timeout=7000)
