from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import time
from multiprocessing import get_context

import pytest

from omniconv import locks
from omniconv.errors import FileError
from omniconv.files import WriteError, atomic_write
from omniconv.locks import LOCK, OwnedError, lock_folder, remove_leftovers


def own(folder, ready):
    """Own a folder, with a worker that is forked meanwhile."""
    with lock_folder(folder, "trained"):
        worker = os.fork() if hasattr(os, "fork") else -1
        if worker:
            ready.send(worker)
        time.sleep(600)


def kill(process):
    process.kill()
    while process.is_alive():  # `join` waits for the worker, too
        os.sched_yield()


@pytest.fixture
def owner(tmp_path):
    """Another process that owns the folder ``run``."""
    context = get_context("spawn")
    ready, sender = context.Pipe(duplex=False)
    process = context.Process(target=own, args=(tmp_path / "run", sender), daemon=True)
    process.start()
    assert ready.poll(60)
    worker = ready.recv()
    yield process
    if worker > 0:
        os.kill(worker, signal.SIGKILL)
    kill(process)
    ready.close()
    sender.close()


def test_another_process_is_named(tmp_path, owner):
    with pytest.raises(OwnedError) as refused, lock_folder(tmp_path / "run", cure="wait"):
        pass
    held = f"is being trained by process {owner.pid} on {socket.gethostname()}"
    assert str(refused.value) == f"{tmp_path / 'run'}: {held}; wait"
    assert os.listdir(tmp_path / "run") == [LOCK]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal of POSIX")
def test_a_killed_process_owns_nothing(tmp_path, owner):
    kill(owner)
    (tmp_path / "run" / ".model.safetensors.0123456789ab").touch()
    with lock_folder(tmp_path / "run", wait=60) as killed:  # its worker may be about to close the lock
        assert killed
        assert os.listdir(tmp_path / "run") == [LOCK]
    assert os.listdir(tmp_path / "run") == []  # it was not made here
    with lock_folder(tmp_path / "run") as killed:
        assert not killed


def test_the_folder_is_removed_if_nothing_was_written(tmp_path):
    with lock_folder(tmp_path / "a" / "b"):
        pass
    assert os.listdir(tmp_path) == []
    with lock_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "c").touch()
    assert os.listdir(tmp_path / "a") == ["c"]


def test_an_error_frees_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), lock_folder(tmp_path):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_files_are_owned_one_by_one(tmp_path):
    with (
        lock_folder(tmp_path, file="a.onnx"),
        lock_folder(tmp_path, file="b.onnx"),
        lock_folder(tmp_path),
        pytest.raises(OwnedError, match=rf"^{tmp_path}/a\.onnx: is being written by process"),
    ):
        lock_folder(tmp_path, file="a.onnx").__enter__()
    assert os.listdir(tmp_path) == []


def test_waiting_for_the_owner(tmp_path, owner, monkeypatch):
    def end(seconds):
        kill(owner)

    monkeypatch.setattr(locks.time, "sleep", end)
    with lock_folder(tmp_path / "run", wait=60) as killed:
        assert killed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_worker_does_not_keep_the_lock(tmp_path, owner):
    kill(owner)  # its worker lives on
    with lock_folder(tmp_path / "run", wait=60) as killed:  # the worker may be about to close it
        assert killed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_that_ends_the_block_does_not_free_it(tmp_path):
    child = -1
    try:
        with lock_folder(tmp_path):
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                with pytest.raises(OwnedError):
                    lock_folder(tmp_path).__enter__()
    finally:
        if child == 0:
            os._exit(0 if (tmp_path / LOCK).is_file() else 1)


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks(tmp_path, monkeypatch, caplog, reason):
    def unsupported(handle, blocking):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(locks, "lock_descriptor", unsupported)
    with caplog.at_level(logging.WARNING, "omniconv.locks"), lock_folder(tmp_path) as killed:
        assert not killed
        (tmp_path / ".a.0123456789ab").touch()
        remove_leftovers(tmp_path)
    assert f"{tmp_path}: is on a file system without locks" in caplog.text
    assert os.listdir(tmp_path) == [".a.0123456789ab"]


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, reason):
    def refuse(*arguments):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(locks.os, "open", refuse)
    with pytest.raises(WriteError, match=rf"cannot be written \({os.strerror(reason).lower()}\)"):
        lock_folder(tmp_path).__enter__()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", None), lambda path: os.symlink("/dev/zero", path)])
def test_something_else_in_the_place_of_the_lock(tmp_path, make):
    make(tmp_path / LOCK)
    with pytest.raises(FileError, match="cannot be written"):
        lock_folder(tmp_path).__enter__()


def test_a_hostile_owner_is_one_line(tmp_path):
    with lock_folder(tmp_path):
        (tmp_path / LOCK).write_bytes(b"\n\x1b[2J\n\xff" * 1000)
        with pytest.raises(OwnedError) as refused:
            lock_folder(tmp_path).__enter__()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 4000


def test_files_that_are_being_written_are_no_leftovers(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.0123456789ab", "deep/.b.0123456789ab", ".hidden", "c.0123456789ab"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "deep" / "d") as file:
        file.write(b"d")
        remove_leftovers(tmp_path)
    assert (tmp_path / "deep" / "d").read_bytes() == b"d"
    assert sorted(os.listdir(tmp_path)) == [".hidden", "c.0123456789ab", "deep"]
    assert os.listdir(tmp_path / "deep") == ["d"]


def test_the_owner_of_a_file_removes_the_temporary_files_of_that_file_only(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (".a.onnx.0123456789ab", ".b.onnx.0123456789ab", "deep/.a.onnx.0123456789ab", ".a.onnx.lock"):
        (tmp_path / name).touch()
    with lock_folder(tmp_path, file="a.onnx") as killed:
        assert killed
    assert sorted(os.listdir(tmp_path)) == [".b.onnx.0123456789ab", "deep"]
    assert os.listdir(tmp_path / "deep") == [".a.onnx.0123456789ab"]


def test_the_former_owner_removes_the_folder(tmp_path, monkeypatch):
    folder, make_folder = tmp_path / "a", locks.make_folder

    def make_and_lose(path):
        monkeypatch.setattr(locks, "make_folder", make_folder)
        make_folder(path).rmdir()

    monkeypatch.setattr(locks, "make_folder", make_and_lose)
    with lock_folder(folder):
        assert (folder / LOCK).is_file()
    assert not folder.exists()
