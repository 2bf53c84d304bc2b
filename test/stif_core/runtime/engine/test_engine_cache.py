"""Engines on disk under the conditions of a robot: processes that die, full and read-only disks, two nodes at once."""

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from stif_core.runtime.engine import cache
from stif_core.runtime.engine.cache import LOCK, cached_engine
from stif_core.runtime.engine.engine_file import read_engine, write_engine

FORK = multiprocessing.get_context("fork")
NOBODY = 65534


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stif"


def no_build():
    raise AssertionError("must not build")


def in_child(function) -> list:
    """What ``function`` returns in a process of its own."""
    receiving, sending = FORK.Pipe(duplex=False)
    child = FORK.Process(target=lambda: sending.send(function()))
    child.start()
    assert receiving.poll(20), "the child process gave no answer"
    result = receiving.recv()
    child.join()
    return result


def test_an_engine_is_built_once_and_found_beside_its_model(tmp_path, engine, user_cache):
    model = tmp_path / "model"
    for build in (lambda: engine, no_build):
        found = cached_engine(engine.key, model, build, print)
        assert found == engine
        assert found.path == model / engine.key.file_name
    assert sorted(p.name for p in model.iterdir()) == [LOCK, engine.key.file_name]
    assert not user_cache.exists()


@pytest.mark.parametrize("damage", ["truncated", "empty", "random", "other-gpu"])
def test_a_bad_file_is_replaced_and_the_log_says_why(tmp_path, engine, damage):
    path = tmp_path / engine.key.file_name
    write_engine(engine, path)
    whole = path.read_bytes()
    if damage == "other-gpu":
        whole = whole.replace(b'"Orin"', b'"Thor"')
    contents = {"truncated": whole[:-100], "empty": b"", "random": os.urandom(5000), "other-gpu": whole}
    path.write_bytes(contents[damage])
    log = []
    assert cached_engine(engine.key, tmp_path, lambda: engine, log.append) == engine
    assert len(log) == 1 and str(path) in log[0] and log[0].endswith("building it again")
    assert read_engine(path, engine.key) == engine


def test_a_folder_with_the_engine_s_name_does_not_stop_the_node(tmp_path, engine):
    (tmp_path / engine.key.file_name).mkdir()
    log = []
    assert cached_engine(engine.key, tmp_path, lambda: engine, log.append) == engine
    assert "cannot keep the engine" in log[-1]
    assert cached_engine(engine.key, tmp_path, lambda: engine, log.append).path is None


def test_disk_full_gives_the_engine_and_one_clear_line(tmp_path, engine):
    def child():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the engine has 10 kB
        log = []
        return cached_engine(engine.key, tmp_path, lambda: engine, log.append), log

    found, log = in_child(child)
    assert found == engine
    assert log == [f"cannot keep the engine in {tmp_path} (File too large): it is built again at the next start"]
    assert [p.name for p in tmp_path.iterdir()] == [LOCK]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a user who may not write")
@pytest.mark.parametrize("home_is_writable", [True, False])
def test_read_only_model_folder(engine, monkeypatch, home_is_writable):
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    model, home = base / "model", base / "home"
    model.mkdir(mode=0o755)
    home.mkdir()
    home.chmod(0o777 if home_is_writable else 0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))

    def child():
        os.setuid(NOBODY)
        log = []
        engines = [cached_engine(engine.key, model, build, log.append) for build in (lambda: engine, lambda: engine)]
        return engines, log

    try:
        engines, log = in_child(child)
        assert engines == [engine, engine]
        kept = (home / "stif" / engine.key.file_name).exists()
        assert kept == home_is_writable
        line = f"neither {model} nor {home / 'stif'} can be written: the engine is built again at every start"
        assert log == ([] if home_is_writable else [line, line])
    finally:
        shutil.rmtree(base)


def test_two_nodes_at_once_build_once(tmp_path, engine):
    built = tmp_path / "built"

    def build():
        with built.open("a") as file:
            file.write("x")
        time.sleep(0.5)
        return engine

    def child(sending):
        log = []
        sending.send((cached_engine(engine.key, tmp_path, build, log.append), log))

    pipes = [FORK.Pipe(duplex=False) for _ in range(2)]
    children = [FORK.Process(target=child, args=(sending,)) for _, sending in pipes]
    for process in children:
        process.start()
    results = []
    for receiving, _ in pipes:
        assert receiving.poll(30)
        results.append(receiving.recv())
    for process in children:
        process.join()
    assert [found for found, _ in results] == [engine, engine]
    assert built.read_text() == "x"
    assert sorted(len(log) for _, log in results) == [0, 1]
    assert any("another process builds engines" in "".join(log) for _, log in results)


def test_an_engine_that_appears_before_the_lock_is_held_is_not_built_again(tmp_path, engine, monkeypatch):
    real = cache.lock_folder

    def after_another(folder, log):
        write_engine(engine, folder / engine.key.file_name)  # another node has just built it and let the lock go
        return real(folder, log)

    monkeypatch.setattr(cache, "lock_folder", after_another)
    assert cached_engine(engine.key, tmp_path, no_build, print) == engine


def test_a_killed_builder_leaves_no_half_file_and_no_lock(tmp_path, engine, monkeypatch):
    def child():
        monkeypatch.setattr(os, "fsync", lambda _: time.sleep(60))  # killed while it writes
        cached_engine(engine.key, tmp_path, lambda: engine, print)

    process = FORK.Process(target=child)
    process.start()
    partial = tmp_path / f".{engine.key.file_name}.partial"
    until = time.monotonic() + 20
    while not partial.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert partial.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / engine.key.file_name).exists()
    assert cached_engine(engine.key, tmp_path, lambda: engine, print) == engine
    assert sorted(p.name for p in tmp_path.iterdir()) == [LOCK, engine.key.file_name]


def test_rebuild_ignores_what_is_there(tmp_path, engine):
    cached_engine(engine.key, tmp_path, lambda: engine, print)
    built = []
    cached_engine(engine.key, tmp_path, lambda: built.append(1) or engine, print, rebuild=True)
    assert built == [1]
