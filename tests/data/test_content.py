from __future__ import annotations

import hashlib
import os

import pytest

from omniconv.data.content import FileState, check_unchanged, find_copies, hash_file, hash_files
from omniconv.errors import FileError


@pytest.fixture
def files(tmp_path):
    for name, content in {"a": b"one", "b": b"two", "c": b"three", "copy": b"one"}.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in ("a", "b", "c", "copy")}


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read."""
    from omniconv.data import content

    names = []
    original = content.hash_file
    monkeypatch.setattr(content, "hash_file", lambda path: (names.append(path.name), original(path))[1])
    return names


def test_the_digest_is_that_of_b2sum(files):
    assert hash_file(files["a"]).digest == hashlib.blake2b(b"one", digest_size=16).hexdigest()
    assert hash_file(files["a"]).digest == hash_file(files["copy"]).digest != hash_file(files["b"]).digest


def test_json_round_trip(files):
    state = hash_file(files["a"])
    assert FileState.from_json(state.to_json(files["a"])) == (files["a"], state)
    assert FileState.from_json([str(files["a"]), 3]) == (files["a"], FileState(3))


@pytest.mark.parametrize("entry", [None, "a", [], ["a"], ["a", "3"], ["a", True], ["a", 3, "d", 1], ["a", 3, 4, 1, 1]])
def test_other_entries_are_refused(entry):
    with pytest.raises(ValueError, match="must have a path, a size, a digest and two times"):
        FileState.from_json(entry)


def test_untouched_files_are_not_read(files, read):
    recorded = hash_files(files.values())
    read.clear()
    check_unchanged(recorded)
    assert read == []


def test_touched_files_are_read_and_accepted(files, read):
    recorded = hash_files(files.values())
    os.utime(files["b"], ns=(1, 1))
    read.clear()
    check_unchanged(recorded)
    assert read == ["b"]


def test_other_content_of_the_same_size_and_time_is_found(files):
    recorded = hash_files(files.values())
    files["b"].write_bytes(b"TWO")
    os.utime(files["b"], ns=(recorded[files["b"]].modified,) * 2)
    with pytest.raises(FileError, match=r"b: has changed since the run began \(other content of the same size\); rest"):
        check_unchanged(recorded)


def test_exchanged_files_are_found(files):
    recorded = hash_files(files.values())
    files["a"].rename(files["a"].with_name("aside"))
    files["b"].rename(files["a"])
    files["a"].with_name("aside").rename(files["b"])
    with pytest.raises(
        FileError, match=r"a: has .* content of .*b\) \(2 of 4 files are missing or have changed\); rest"
    ):
        check_unchanged(recorded)


def test_entries_without_a_digest_are_compared_by_size(files):
    recorded = {path: FileState(path.stat().st_size) for path in files.values()}
    files["b"].write_bytes(b"TWO")
    check_unchanged(recorded)
    files["b"].write_bytes(b"TWO and more")
    with pytest.raises(FileError, match=r"b: has changed since the run began \(12 bytes instead of 3\)"):
        check_unchanged(recorded)


def test_copies_are_found_whatever_their_names(files, read):
    originals = hash_files([files["a"], files["b"]])
    read.clear()
    copies = find_copies(files.values(), originals)
    assert copies == {files["a"]: files["a"], files["b"]: files["b"], files["copy"]: files["a"]}
    assert read == ["copy"]  # a and b are untouched, and c has another size


def test_copies_of_files_whose_digest_is_unknown(files):
    originals = {files["a"]: FileState(3), files["a"].with_name("gone"): FileState(3)}
    assert find_copies([files["copy"], files["b"]], originals) == {files["copy"]: files["a"]}
