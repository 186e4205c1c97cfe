from __future__ import annotations

import errno
import io
import os
import socket
import stat
import zipfile

import pytest

from omniconv.errors import FileError
from omniconv.files import (
    MAX_TEXT_BYTES,
    as_path,
    atomic_write,
    check_archive,
    check_writable,
    make_folder,
    open_regular,
    read_bytes,
    read_json,
    read_text,
)


def refuse(reason):
    def refusing(*arguments, **options):
        raise OSError(reason, os.strerror(reason))

    return refusing


def write(path, content=b"new and whole"):
    with atomic_write(path) as file:
        file.write(content)


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    return path


def holds_only(path, content):
    return path.read_bytes() == content and os.listdir(path.parent) == [path.name]


def test_new_file_is_whole_and_alone(tmp_path):
    write(tmp_path / "a.bin")
    assert holds_only(tmp_path / "a.bin", b"new and whole")


def test_text_is_utf8(tmp_path):
    with atomic_write(str(tmp_path / "a.txt"), "w") as file:
        file.write("Δφ = 90°\n")
    assert (tmp_path / "a.txt").read_bytes() == "Δφ = 90°\n".encode()


def test_file_has_the_rights_of_an_ordinary_new_file(tmp_path):
    write(tmp_path / "atomic")
    (tmp_path / "ordinary").write_bytes(b"")
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("atomic", "ordinary")]
    assert rights[0] == rights[1]


def test_nothing_appears_before_the_block_ends(old_file):
    with atomic_write(old_file) as file:
        file.write(b"half")
        file.flush()
        assert old_file.read_bytes() == b"old"
    assert holds_only(old_file, b"half")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_inside_the_block_keeps_the_old_file(old_file, error):
    def write_half(file):
        file.write(b"half")
        raise error

    with pytest.raises(error), atomic_write(old_file) as file:
        write_half(file)
    assert holds_only(old_file, b"old")


CURES = {errno.ENOSPC: "free some space, or ", errno.EACCES: "change the permissions of its folder, or "}


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_failure_of_the_system_keeps_the_old_file(old_file, monkeypatch, call, reason):
    monkeypatch.setattr(os, call, refuse(reason))
    with pytest.raises(FileError) as caught:
        write(old_file)
    monkeypatch.undo()
    assert str(caught.value) == (
        f"{old_file}: cannot be written ({os.strerror(reason).lower()}); {CURES.get(reason, '')}choose another path"
    )
    assert holds_only(old_file, b"old")


def test_full_disk_while_writing_keeps_the_old_file(old_file):
    with pytest.raises(FileError, match="no space left on device"), atomic_write(old_file):
        refuse(errno.ENOSPC)()
    assert holds_only(old_file, b"old")


def test_failure_leaves_no_new_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", refuse(errno.EROFS))
    with pytest.raises(FileError, match="read-only file system"):
        write(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(FileError, match=r"missing/a: cannot be written \(no such file or directory\)"):
        write(tmp_path / "missing" / "a")


def test_a_folder_is_not_overwritten(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FileError, match="cannot be written"):
        write(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


def test_make_folder_makes_parents_and_keeps_what_is_there(tmp_path):
    folder = make_folder(tmp_path / "a" / "b")
    (folder / "kept").write_bytes(b"")
    assert make_folder(str(folder)) == folder
    assert os.listdir(folder) == ["kept"]


def test_make_folder_refuses_the_name_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileError, match="a: is a file, not a folder; choose another path"):
        make_folder(tmp_path / "a")


def test_whether_a_file_can_be_written_is_known_before(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "file.json")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for path, text in ((tmp_path / "file" / "below", "not a directory"), (tmp_path, "is a folder")):
        with pytest.raises(FileError, match=text):
            check_writable(path)


READERS = [open_regular, read_bytes, read_text, read_json]


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes and devices")
@pytest.mark.parametrize("link", [False, True], ids=["itself", "link"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (os.mkfifo, "is a named pipe, not a file; give a file"),
        (os.mkdir, "is a folder, not a file; give a file"),
        (make_socket, "is a socket, not a file; give a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file; give a file"),
        (lambda path: path.symlink_to("gone"), "cannot be read (no such file or directory); check its path and permi"),
        (lambda path: path.symlink_to(path.name), "cannot be read (too many levels of symbolic links); check its pat"),
        (lambda path: None, "cannot be read (no such file or directory); check its path and permissions"),
    ],
    ids=["pipe", "folder", "socket", "device", "dangling link", "link to itself", "nothing"],
)
def test_only_regular_files_are_read(tmp_path, monkeypatch, reader, make, text, link):
    monkeypatch.chdir(tmp_path)  # the path of a socket has at most 107 bytes
    path = tmp_path / "a.json"
    make(path.relative_to(tmp_path) if make is make_socket else path)
    if link:
        path = tmp_path / "link"
        path.symlink_to("a.json")
    with pytest.raises(FileError) as caught:
        reader(path)
    assert str(caught.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize("reader", READERS)
def test_paths_with_nul_are_refused(reader):
    with pytest.raises(FileError, match=r"^a\\x00b: holds a NUL character, which no path has; check the path"):
        reader("a\0b")


def test_paths_that_are_too_long_are_refused():
    with pytest.raises(FileError, match=r"^a{5000}: is longer than the path of a file can be; check the path"):
        as_path("a" * 5000)


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_that_takes_the_place_of_a_file_does_not_block(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("1")
    os.mkfifo(tmp_path / "pipe")
    of_file = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path: of_file)
    with pytest.raises(FileError, match="pipe: is a named pipe, not a file"):
        read_text(tmp_path / "pipe")


def test_files_are_read_up_to_a_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"123456789")
    assert read_bytes(path, 9) == b"123456789"
    with pytest.raises(FileError, match=r"a: is larger than 8 bytes; give the right file"):
        read_bytes(path, 8)
    os.truncate(path, 10 * MAX_TEXT_BYTES)
    for reader in (read_bytes, read_text, read_json):
        with pytest.raises(FileError, match=r"a: is larger than 16,777,216 bytes; give the right file"):
            reader(path)


def test_text_is_read_with_any_line_ends_and_byte_order_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfsea\r\nland\rice\n")
    assert read_text(path) == "sea\nland\nice\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a\n".encode("utf-16"), "is not UTF-8 text; save it as UTF-8"),
        (b"caf\xe9", "is not UTF-8 text; save it as UTF-8"),
        (b"a\0b", "is not text, it holds NUL characters; save it as UTF-8"),
    ],
    ids=["UTF-16", "Latin-1", "NUL"],
)
def test_other_encodings_are_refused(tmp_path, content, text):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_text(tmp_path / "a.txt")
    assert str(caught.value) == f"{tmp_path / 'a.txt'}: {text}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "is nested too deep"),
        ("[" * 33 + "]" * 33, "is nested too deep"),
        ('{"a":' * 40 + "1" + "}" * 40, "is nested too deep"),
        ("1" * 5_000, "Exceeds the limit"),
        ("NaN", "NaN is not a finite number"),
        ('{"a": [1e999]}', "1e999 is not a finite number"),
        ('{"a": 1, "a": 2}', "the key 'a' is repeated"),
        ('{"a": ', "Expecting value"),
        ("", "Expecting value"),
    ],
)
def test_damaged_json_is_refused_in_one_line(tmp_path, content, reason):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(FileError) as caught:
        read_json(tmp_path / "a.json", cure="write it again")
    assert str(caught.value).startswith(f"{tmp_path / 'a.json'}: is damaged ({reason}")
    assert str(caught.value).endswith("; write it again")


def test_json_is_read(tmp_path):
    (tmp_path / "a.json").write_text("[" * 32 + "7" + "]" * 32)
    assert str(read_json(tmp_path / "a.json")).strip("[]") == "7"
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null, "é", {}]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None, "é", {}]}


def _archive(entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(content := io.BytesIO(), "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return content.getvalue()


def test_entries_of_an_archive_are_compared_with_its_checksums():
    content = _archive({"a/data": b"weights of a network", "a/version": b"3"})
    check_archive(content)
    with pytest.raises(ValueError, match="the checksum of a/data differs"):
        check_archive(content.replace(b"weights", b"weightz"))


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.95])
def test_archive_cut_anywhere_raises(share):
    content = _archive({"a/data": b"weights of a network" * 10})
    with pytest.raises(ValueError, match=r"."):
        check_archive(content[: int(share * len(content))])


def test_compressed_archive_raises():
    with pytest.raises(ValueError, match="its entries are compressed"):
        check_archive(_archive({"a": bytes(10**6)}, zipfile.ZIP_DEFLATED))
