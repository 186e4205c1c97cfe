"""Every mutant of a checkpoint is refused in one line, or holds the state that was saved."""

from __future__ import annotations

import io
import math
from collections import Counter
from time import process_time

import numpy as np
import pytest
import torch
from mutants import append, flip_bits, overwrite, truncate

import omniconv as oc
from omniconv.errors import FileError
from omniconv.training.checkpoints import read_checkpoint

DAMAGES = (flip_bits, truncate, append, overwrite)


def without_checksum(content):
    """Return a checkpoint as earlier versions wrote it."""
    end = content.rfind(b"sha256:")
    return content[: end - 2] + b"\0\0"


@pytest.fixture(scope="module")
def saved(segment_run):
    """The contents of a checkpoint, and a network of its shapes."""
    return segment_run.checkpoint.read_bytes(), oc.load(segment_run.model)


def flat(state):
    """Return the numbers and tensors of nested containers in one list."""
    if isinstance(state, dict):
        return [part for key in state for part in (key, *flat(state[key]))]
    if isinstance(state, list | tuple):
        return [part for value in state for part in flat(value)]
    return [state.numpy().tobytes() if isinstance(state, torch.Tensor) else state]


def outcome(path, content, network, state):
    """Read a mutant: "refused" in one line, the "same" state, or "wrong"."""
    path.write_bytes(content)
    try:
        found = read_checkpoint(path, {"network": network})
    except FileError as error:
        line = str(error)
        return "refused" if line.startswith(f"{path}: ") and "\n" not in line and len(line) < 1000 else line
    return "same" if flat(found) == state else "wrong"


def state_of(content):
    return flat(torch.load(io.BytesIO(content), weights_only=True))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("is_earlier", [False, True], ids=["checksum", "earlier"])
def test_damage_is_refused(saved, tmp_path, damage, is_earlier):
    content, network = saved
    state = state_of(content)
    content = without_checksum(content) if is_earlier else content
    assert outcome(tmp_path / "a", content, network, state) == "same"
    for seed in range(15):
        mutant = damage(content, np.random.default_rng(seed))
        found = outcome(tmp_path / "a", mutant, network, state)
        # Padding between the entries of an archive is not part of its own checksums.
        assert found == "refused" or mutant == content or (is_earlier and found == "same"), (seed, found)


@pytest.mark.slow
def test_campaign(saved, tmp_path):
    content, network = saved
    state, counts, longest = state_of(content), Counter(), 0.0
    contents = {"checksum": content, "earlier": without_checksum(content)}
    for seed in range(5000):
        name, damage = ("checksum", "earlier")[seed % 2], DAMAGES[seed // 2 % len(DAMAGES)]
        mutant = damage(contents[name], np.random.default_rng(seed))
        start = process_time()
        found = outcome(tmp_path / "a", mutant, network, state)
        longest = max(longest, process_time() - start)
        counts[name, damage.__name__, found] += 1
        assert found == "refused" or mutant == contents[name] or (name, found) == ("earlier", "same"), (seed, found)
    assert longest < 2
    print(longest, sorted(counts.items()))  # noqa: T201  # shown by pytest -s


def _nan(checkpoint):
    checkpoint["state_dict"]["network.head.0.bias"][0] = math.nan


def _infinite_moment(checkpoint):
    checkpoint["optimizer_states"][0]["state"][0]["exp_avg"].fill_(math.inf)


def _shape_of_a_moment(checkpoint):
    checkpoint["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(1)


def _more_moments(checkpoint):
    checkpoint["optimizer_states"][0]["state"][99] = {"exp_avg": torch.zeros(3)}


def _no_optimizer(checkpoint):
    checkpoint["optimizer_states"] = []


def _shape(checkpoint):
    checkpoint["state_dict"]["network.head.0.bias"] = torch.zeros(3)


def _dtype(checkpoint):
    checkpoint["state_dict"]["network.head.0.bias"] = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_nan, r"is damaged \(head.0.bias has 1 of 2 values NaN or infinite\)"),
        (_infinite_moment, r"is damaged \(of parameter 0, exp_avg has 54 of 54 values NaN or infinite\)"),
        (_shape_of_a_moment, r"is damaged \(exp_avg of parameter 0 has the shape \(1,\)\)"),
        (_more_moments, "is damaged"),
        (_no_optimizer, "is damaged"),
        (_shape, "does not belong to the network"),
        (_dtype, "does not belong to the network"),
    ],
)
def test_other_values_are_refused(saved, tmp_path, change, text):
    content, network = saved
    checkpoint = torch.load(io.BytesIO(content), weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(FileError, match=f"last.ckpt: {text}"):
        read_checkpoint(tmp_path / "last.ckpt", {"network": network})
