"""Networks whose weights were damaged are refused by every command that opens a run, in one line."""

from __future__ import annotations

import shutil

import pytest
from tiny import picture, poison, save

from omniconv.cli import main
from omniconv.run_folder import RunFolder

COMMANDS = (
    ("predict", "RUN", "a.png", "--out", "found"),
    ("evaluate", "RUN"),
    ("report", "RUN"),
    ("summary", "RUN"),
    ("audit", "RUN", "a.png"),
    ("export", "RUN", "--format", "torch", "--out", "net.pt2"),
    ("train", "--resume", "RUN", "--epochs", "2"),
)


@pytest.fixture
def run(segment_run, here):
    save(here / "a.png", picture(0)[0])
    shutil.copytree(segment_run.path, "run")
    return RunFolder(here / "run")


def _truncated(run):
    content = run.model.read_bytes()
    run.model.write_bytes(content[: len(content) // 2])


def _flipped(run):
    content = bytearray(run.model.read_bytes())
    content[-5] ^= 1
    run.model.write_bytes(content)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda run: poison(run.model), "cannot be used: head.0.bias has 1 of 2 values NaN or infinite; train again"),
        (_truncated, "is damaged or not a safetensors file"),
        (_flipped, "was damaged or changed after it was written (its checksum differs)"),
    ],
    ids=["nan", "truncated", "flipped"],
)
def test_damaged_weights_are_refused(run, capsys, words, damage, text):
    damage(run)
    assert main([word.replace("RUN", str(run.path)) for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert f"{run.model}: " in lines[0]
    assert text in lines[0]
