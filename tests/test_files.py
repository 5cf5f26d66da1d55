"""course_lib.files: the old file or the new one, whole, whatever happens on the way."""

import os
import stat

import pytest
import torch

from course_lib import files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.txt"


@pytest.mark.parametrize("old", [None, "older and longer than what replaces it"])
@pytest.mark.parametrize("content", ["é ■\r\nline\n", b"\x00\xff\r\n", ""])
def test_the_content_arrives_byte_for_byte(path, old, content):
    if old:
        path.write_text(old)
    files.write(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode("utf-8"))
    assert list(path.parent.iterdir()) == [path]


def test_a_library_may_write_into_the_file(path):
    with files.replacing(path) as file:
        torch.save({"weights": torch.arange(3)}, file)
    assert torch.load(path)["weights"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_whoever_is_interrupted_leaves_what_was_there(path, old, error):
    if old:
        path.write_text(old)
    with pytest.raises(error), files.replacing(path) as file:
        file.write(b"half of the n")
        raise error
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == ([("kept.txt", "old")] if old else [])


def test_a_replacement_that_is_refused_leaves_nothing_beside(path):
    path.mkdir()
    with pytest.raises(OSError):
        files.write(path, "new")
    assert list(path.parent.iterdir()) == [path] and path.is_dir()


def test_the_old_file_is_there_until_the_block_ends_and_the_new_one_is_on_the_disk_before(path, monkeypatch):
    path.write_text("old")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((os.fstat(descriptor).st_size, path.read_text())))
    with files.replacing(path) as file:
        file.write(b"newer")
        assert path.read_text() == "old"
    assert synced == [(5, "old")] and path.read_text() == "newer"


def test_two_may_write_the_same_file_at_once(path):
    with files.replacing(path) as one, files.replacing(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert path.read_text() == "one"  # the block that ends last
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.posix
@pytest.mark.parametrize("old, wanted", [(None, 0o640), (0o600, 0o600), (0o664, 0o664)])
def test_permissions_are_the_old_files_or_the_users_own(path, old, wanted):
    if old:
        path.touch()
        path.chmod(old)
    umask = os.umask(0o027)
    try:
        files.write(path, "new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == wanted


def test_who_writes_alone_writes_over_what_a_killed_process_left(tmp_path):
    path = tmp_path / "run.pt"
    (tmp_path / ".run.pt.part").write_bytes(b"half of a longer one")
    with files.replacing(path, alone=True) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and [one.name for one in tmp_path.iterdir()] == ["run.pt"]
