"""Engines on disk: found again at the next start, built once when several processes want the same one."""

import fcntl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from stif_core.cache import default_cache
from stif_core.runtime.engine.engine_file import BadEngineFileError, Engine, EngineKey, read_engine, write_engine

LOCK = ".stif_engines.lock"
Log = Callable[[str], None]


def cached_engine(key: EngineKey, beside: Path, build: Callable[[], Engine], log: Log, rebuild: bool = False) -> Engine:
    """An engine from the folder of its model or from the user's cache; built, and kept in the first of them that can
    be written, when neither has one that passes the check.

    A file that fails the check is replaced. An engine that cannot be written is used all the same, without a path, and
    built again next time; the log says so.

    Args:
        key: What the engine must be.
        beside: Folder of the model.
        build: Makes the engine; called by one process at a time for each folder.
        log: Takes lines for the user.
        rebuild: Build it whatever the files hold.

    Raises:
        ValueError: Whatever ``build`` raises.
    """
    folders = (beside, default_cache())
    engine = None if rebuild else _find(key, folders, log)
    if engine is not None:
        return engine
    for folder in folders:
        try:
            lock = lock_folder(folder, log)
        except OSError:
            continue
        with lock:
            # Another process may have built it since; what is wrong with the files was said above.
            engine = None if rebuild else _find(key, (folder,), lambda line: None)
            if engine is None:
                engine = _keep(build(), folder, log)
            return engine
    log(f"neither {beside} nor {folders[1]} can be written: the engine is built again at every start")
    return build()


def _find(key: EngineKey, folders: tuple[Path, ...], log: Log) -> Engine | None:
    for folder in folders:
        try:
            return read_engine(folder / key.file_name, key)
        except FileNotFoundError:
            continue
        except BadEngineFileError as error:
            log(f"{error}: building it again")
    return None


def _keep(engine: Engine, folder: Path, log: Log) -> Engine:
    path = folder / engine.key.file_name
    try:
        write_engine(engine, path)
    except OSError as error:
        log(f"cannot keep the engine in {folder} ({error.strerror}): it is built again at the next start")
        return engine
    return replace(engine, path=path)


def lock_folder(folder: Path, log: Log) -> IO[str]:
    """A folder's lock, held until it is closed or the process dies; waits for another process that builds there.

    Raises:
        OSError: The folder cannot be written, or its file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log(f"another process builds engines in {folder}: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock
