"""Files of the program: a cache that cannot be written is no need, and files being written follow no link."""

import os
import shutil
from pathlib import Path

import pytest

from tracker.answers.database import Database
from tracker.app.outputs import claim_folder
from tracker.core import files
from tracker.core.folder import FolderLock
from tracker.errors import OutputError
from tracker.serve.outbox import Outbox


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with a network in it, named by TRACKER_CACHE."""
    root = tmp_path / "cache"
    (root / "detectors").mkdir(parents=True)
    (root / "detectors" / "kept.pb").write_bytes(b"kept")
    monkeypatch.setenv("TRACKER_CACHE", str(root))
    return root


@pytest.mark.parametrize("why", ["full", "read-only", "a file", "foreign"])
def test_a_temporary_folder_stands_in_for_a_cache_that_cannot_be_written(cache, why, monkeypatch, capsys):
    real_usage, real_create = shutil.disk_usage, files.create

    def refused(path, mode=0o666):
        if Path(path).is_relative_to(cache):
            raise PermissionError(13, "Permission denied" if why == "foreign" else "Read-only file system")
        return real_create(path, mode)

    if why == "full":
        monkeypatch.setattr(files.shutil, "disk_usage", lambda p: real_usage(p)._replace(free=1000))
    elif why == "a file":
        shutil.rmtree(cache)
        cache.write_text("no folder")
    else:
        monkeypatch.setattr(files, "create", refused)
    folder = files.cache_folder("detectors")
    assert not folder.is_relative_to(cache) and capsys.readouterr().err.count("warning: the cache") == 1
    files.write_atomic(folder / "new.pb", b"new")
    assert files.cache_folder("detectors") == folder and os.environ["TRACKER_CACHE"] in str(folder)
    if why != "a file":
        assert (folder / "kept.pb").read_bytes() == b"kept", "what the cache holds is still used"
        assert sorted(p.name for p in cache.rglob("*") if p.is_file()) == ["kept.pb"]
    assert capsys.readouterr().err == ""


def test_neither_cache_nor_temporary_folder_is_one_message(cache, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "create", full)
    monkeypatch.setattr(files.tempfile, "mkdtemp", full)
    with pytest.raises(OutputError, match=r"the cache folder .* cannot be written .*set TRACKER_CACHE"):
        files.cache_folder()


@pytest.mark.parametrize("write", [files.write_whole, lambda p, t: files.write_atomic(p, t.encode()),
                                   lambda p, t: files.FileSink(p).close()])  # fmt: skip
def test_no_link_that_waits_for_a_file_is_followed(tmp_path, write):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "tracks.txt"
    for waiting in (files.part_of(path), path.with_name(f".{path.name}.{os.getpid()}"), path):
        waiting.symlink_to(victim)
    write(path, "mine")
    assert victim.read_text() == "precious" and not path.is_symlink()


@pytest.mark.parametrize("there", [True, False])
def test_no_link_in_an_output_folder_leads_elsewhere(tmp_path, there):
    """Those that a run's own folder, its database and its events that wait would be written through."""
    victim, folder = tmp_path / "victim", tmp_path / "out"
    folder.mkdir()
    if there:
        victim.write_bytes(b"")
    for name in (f".probe-{os.getpid()}", "tracks.db", "outbox.db"):
        (folder / name).symlink_to(victim)
    claim_folder(folder, "out", overwrite=False)
    with pytest.raises(OutputError, match="is there already"):
        Database(folder / "tracks.db", ())
    with pytest.raises(OutputError, match="it is a link"):
        Outbox(folder / "outbox.db")
    assert victim.read_bytes() == b"" if there else not victim.exists()


def test_a_folder_that_vanished_is_told_when_its_files_are_closed(tmp_path):
    """As it goes when the run ends before it looked around again."""
    (tmp_path / "out").mkdir()
    sink = files.FileSink(tmp_path / "out" / "tracks.txt")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(OutputError, match="out: was removed, moved or unmounted"):
        sink.close()


def test_what_holds_a_secret_is_for_its_owner(tmp_path):
    files.write_whole(tmp_path / "config.toml", "x", private=True)
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o600


def test_a_folder_is_held_by_one_and_given_back(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(OutputError, match="another run writes there"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    FolderLock(tmp_path).release()
    assert not list(tmp_path.iterdir())
