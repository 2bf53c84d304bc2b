"""Reading a bag, whole or damaged: sqlite3 and mcap, a folder with ``metadata.yaml`` or a single file."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore

from stif_core.bags.typestore import store_for

ENDINGS = (".db3", ".mcap")
RawMessage = tuple[str, int, bytes]  # topic, bag time in nanoseconds, serialised message
MEND = "`ros2 bag reindex` or `mcap recover` may mend it"


@dataclass(frozen=True)
class Topic:
    """A topic of a bag, its type such as ``sensor_msgs/msg/Image``, and how many messages it has."""

    name: str
    type: str
    count: int


class Bag:
    """An open bag.

    Attributes:
        path: Folder or file.
        storage: ``sqlite3`` or ``mcap``.
        start_ns: Time of the first message; bag times are those of the recording, not the stamps in headers.
        topics: By name, in alphabetical order.
        damage: What is wrong with the data, once reading came to a place where it could not go on; else empty.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ValueError: There is no bag, or it cannot be opened; says what to do.
        """
        self.path = path
        file = _storage(path)
        self.storage = "mcap" if file.suffix == ".mcap" or next(path.glob("*.mcap*"), None) else "sqlite3"
        self.damage = ""
        try:
            self._reader = Reader(file)
            self._reader.open()
        except Exception as error:  # of many kinds: a parser fed with a damaged file
            raise ValueError(f"cannot read the bag {path}: {_line(error)}; if it was cut off, {MEND}") from None
        self.start_ns = self._reader.start_time
        self._connections: dict[str, list[Connection]] = {}
        for connection in self._reader.connections:
            self._connections.setdefault(connection.topic, []).append(connection)
        self.topics = {
            name: Topic(name, " or ".join(sorted({c.msgtype for c in given})), sum(c.msgcount for c in given))
            for name, given in sorted(self._connections.items())
        }
        self._stores: dict[str, Typestore] = {}

    def __enter__(self) -> "Bag":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reader.close()

    def connection(self, topic: str) -> Connection:
        """What the bag says of a topic: type, definition, quality of service."""
        return self._connections[topic][0]

    def raw_messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages in the order of bag times; one such iteration at a time, they share the file.

        Ends early at a place that cannot be read, and says so in ``damage``.
        """
        if not topics:
            return  # no connections would mean all of them
        messages = self._reader.messages([c for name in topics for c in self._connections[name]])
        read = 0
        while True:
            try:
                connection, time_ns, data = next(messages)
            except StopIteration:
                return
            except Exception as error:  # as above
                self.damage = f"the bag is damaged after {read} messages ({_line(error)}): {MEND}"
                return
            read += 1
            yield connection.topic, time_ns, data

    def deserialise(self, topic: str, data: bytes) -> Any:
        """The message of these bytes. Raises ValueError when they are none of the topic's type."""
        kind = self._connections[topic][0].msgtype
        try:
            if topic not in self._stores:
                self._stores[topic] = store_for(self._connections[topic][0])
            # A view: rosbags cuts the head off its argument, which would copy the image.
            return self._stores[topic].deserialize_cdr(memoryview(data), kind)
        except Exception as error:  # as above
            raise ValueError(f"{topic}: {len(data)} bytes that are no {kind} ({_line(error)})") from None

    def messages(self, topic: str, kind: str) -> list[tuple[int, bytes, Any]]:
        """Bag time, bytes and message of each message of a topic, for topics that fit into memory.

        Raises:
            ValueError: No such topic, its messages are of another type, or one cannot be read.
        """
        self.require(topic, (kind,))
        return [(time_ns, data, self.deserialise(topic, data)) for _, time_ns, data in self.raw_messages([topic])]

    def require(self, topic: str, kinds: tuple[str, ...]) -> Topic:
        """The topic. Raises ValueError, naming those that would do, when there is none of these types."""
        fit = [f"{t.name} ({t.type}, {t.count} messages)" for t in self.topics.values() if t.type in kinds]
        others = f"topics of type {' or '.join(kinds)}: {', '.join(fit) or 'none'}"
        if topic not in self.topics:
            raise ValueError(f"{self.path} has no topic {topic}; {others}")
        found = self.topics[topic]
        if found.type not in kinds:
            raise ValueError(f"topic {topic} of {self.path} is of type {found.type}; {others}")
        if not found.count:
            raise ValueError(f"topic {topic} of {self.path} holds no messages; {others}")
        return found


def _storage(path: Path) -> Path:
    """What to open: the folder, the file, or the one file of a folder whose recording was cut off."""
    if path.is_file():
        if path.suffix not in ENDINGS:
            raise ValueError(f"{path} is no bag: expected a folder, or a file ending in {' or '.join(ENDINGS)}")
        return path
    if not path.is_dir():
        raise ValueError(f"no bag {path}")
    if (path / "metadata.yaml").is_file():
        return path
    files = sorted(file for file in path.iterdir() if file.suffix in ENDINGS)
    if len(files) == 1:
        return files[0]
    found = f"{len(files)} files of a bag" if files else f"no file ending in {' or '.join(ENDINGS)}"
    raise ValueError(f"{path} is no bag: no metadata.yaml, and {found} (`ros2 bag reindex` writes metadata.yaml)")


def _line(error: Exception) -> str:
    """A parser's error in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
