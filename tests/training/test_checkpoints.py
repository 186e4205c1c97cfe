from __future__ import annotations

import errno
import os
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from tiny import cut

from omniconv.errors import FileError
from omniconv.training.checkpoints import AtomicCheckpointIO

CONTENT = {"state_dict": {"weight": torch.arange(1000.0)}, "epoch": 3, "rows": [{"epoch": 0, "rate": 0.1}]}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, path)
    return path


def test_round_trip(checkpoint):
    read = AtomicCheckpointIO().load_checkpoint(checkpoint)
    assert torch.equal(read.pop("state_dict")["weight"], torch.arange(1000.0))
    assert read == {key: value for key, value in CONTENT.items() if key != "state_dict"}
    assert os.listdir(checkpoint.parent) == ["last.ckpt"]


@pytest.mark.parametrize("tenths", range(10))
def test_cut_anywhere(checkpoint, tenths):
    cut(checkpoint, tenths / 10 + 0.05)
    with pytest.raises(FileError, match=rf"^{checkpoint}: is damaged; restore it from a copy"):
        AtomicCheckpointIO().load_checkpoint(checkpoint)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_real_checkpoint_cut(segment_run, tmp_path, share):
    path = cut(Path(shutil.copy(segment_run.checkpoint, tmp_path / "last.ckpt")), share)
    with pytest.raises(FileError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_other_files(tmp_path):
    for name, content in (("none", None), ("text", b"hello"), ("zip", b"PK\x03\x04")):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError):
            AtomicCheckpointIO().load_checkpoint(tmp_path / name)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize("content", [Bomb(), Fraction(1, 2)], ids=["call", "object"])
def test_objects_are_refused_and_nothing_runs(here, content):
    torch.save({"state_dict": {}, "callbacks": content}, "last.ckpt")
    with pytest.raises(FileError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint("last.ckpt")
    assert os.listdir(here) == ["last.ckpt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_one(checkpoint, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = checkpoint.read_bytes()
    monkeypatch.setattr(os, call, full)
    with pytest.raises(FileError, match="no space left on device"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 4}, checkpoint)
    assert checkpoint.read_bytes() == before
    assert os.listdir(checkpoint.parent) == ["last.ckpt"]
