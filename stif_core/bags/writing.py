"""Writing a bag, with the definitions of the messages in it; the same messages give the same bytes."""

import shutil
from pathlib import Path
from typing import Any, Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from stif_core.bags.typestore import store_for, typestore

STORAGES = ("sqlite3", "mcap")
METADATA_VERSION: Literal[8] = 8  # version 9 writes the quality of service in a way that Humble cannot read


class BagWriter:
    """A new bag."""

    def __init__(self, path: Path, storage: str) -> None:
        """
        Raises:
            ValueError: Something exists there already, or the storage is unknown.
        """
        if storage not in STORAGES:
            raise ValueError(f"unknown storage '{storage}': use {' or '.join(STORAGES)}")
        if path.exists():
            raise ValueError(f"{path} exists already: remove it, or give another name")
        self._writer = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin[storage.upper()])
        self._writer.open()
        self._connections: dict[str, Connection] = {}

    def close(self) -> None:
        """Writes the index and metadata.yaml: only now it is a bag."""
        self._writer.close()

    def discard(self) -> None:
        """Removes what was written so far."""
        self._writer.abort()
        shutil.rmtree(self._writer.path)

    def copy_topic(self, connection: Connection) -> None:
        """A topic as another bag has it, with its quality of service."""
        self._connections[connection.topic] = self._writer.add_connection(
            connection.topic,
            connection.msgtype,
            typestore=store_for(connection),
            offered_qos_profiles=getattr(connection.ext, "offered_qos_profiles", ()),
        )

    def write_bytes(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """A serialised message of a topic that was copied or written before."""
        self._writer.write(self._connections[topic], time_ns, data)

    def write(self, topic: str, time_ns: int, message: Any) -> None:
        """A message of one of the types of ``typestore``."""
        kind = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=typestore())
        self.write_bytes(topic, time_ns, typestore().serialize_cdr(message, kind))
