"""Every mutant of a saved network is refused in one line, or is the network that was saved."""

from __future__ import annotations

from collections import Counter
from time import process_time

import numpy as np
import pytest
import torch
from mutants import MUTATIONS, change_arguments, flip_header, split

import omniconv as oc
from omniconv.errors import FileError
from omniconv.models import UNet

INVISIBLE = {
    change_arguments: "an edited description of a file without checksum, with arguments that the weights do not show",
    flip_header: "a change to white space",
}
"""Mutations whose mutants may load, with the weights that were saved."""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    torch.manual_seed(0)
    model = UNet(3, 2, width=4, depth=1)
    for number, tensor in enumerate(model.state_dict().values()):  # so that no two tensors are equal
        tensor.fill_(number) if tensor.ndim == 0 else tensor.uniform_(0.5, 1)
    model.preprocessing = {"task": "segment", "classes": ["a", "b"], "mean": [0.5, 0.25, 0.125]}
    oc.save(model, path := tmp_path_factory.mktemp("network") / "model.safetensors")
    return path.read_bytes(), model.state_dict()


def is_equal(mutant, content):
    """Return True for a file of the same header and data, however its header is written."""
    try:
        return split(mutant) == split(content)
    except (ValueError, RecursionError):
        return False


def outcome(path, content, weights):
    """Load a mutant: "refused" in one line, the "same" weights, or "wrong" ones."""
    path.write_bytes(content)
    try:
        loaded = oc.load(path)
    except FileError as error:
        line = str(error)
        return "refused" if line.startswith(f"{path}: ") and "\n" not in line and len(line) < 1000 else line
    state = loaded.state_dict()
    same = state.keys() == weights.keys() and all(torch.equal(state[key], weights[key]) for key in state)
    return "same" if same else "wrong"


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_mutants_are_refused(original, tmp_path, mutate):
    content, weights = original
    for seed in range(25):
        mutant = mutate(content, np.random.default_rng(seed))
        found = outcome(tmp_path / "a", mutant, weights)
        assert found == "refused" or is_equal(mutant, content) or (found == "same" and mutate in INVISIBLE), (
            seed,
            found,
        )


@pytest.mark.slow
def test_campaign(original, tmp_path):
    content, weights = original
    counts, longest = Counter(), 0.0
    for seed in range(5000):
        mutate = MUTATIONS[seed % len(MUTATIONS)]
        mutant = mutate(content, np.random.default_rng(seed))
        start = process_time()
        found = outcome(tmp_path / "a", mutant, weights)
        longest = max(longest, process_time() - start)
        counts[mutate.__name__, found] += 1
        assert found == "refused" or is_equal(mutant, content) or (found == "same" and mutate in INVISIBLE), (
            mutate,
            seed,
            found,
        )
        assert longest < 2, (mutate, seed)
    assert sum(number for (_, found), number in counts.items() if found == "same") < 500
    print(longest, sorted(counts.items()))  # noqa: T201  # shown by pytest -s
