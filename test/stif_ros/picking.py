"""What the tests of the picking page share: the pick node as a process, and a camera that shows the rendered clip."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from robot import CLIP, Robot, header

from stif_ros.messages import image_message

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pick"
FRAMES = [CLIP.render(index)[0] for index in range(0, 60, 2)]  # before the pillar comes
TRUTH = [CLIP.render(index)[1] for index in range(0, 60, 2)]


class PickProcess:
    """``ros2 run stif_ros pick`` on a free port; ``url`` is the address that it prints, token included."""

    def __init__(self, **parameters) -> None:
        arguments = [f"{name}:={value}" for name, value in {"port": 0, **parameters}.items()]
        ros = [part for argument in arguments for part in ("-p", argument)]
        command = [sys.executable, str(SCRIPT), "--ros-args", *ros]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.errors: list[str] = []
        for line in self._process.stderr:
            self.errors.append(line)
            if found := re.search(r"open (http://\S+)", line):
                self.url = found[1].replace("ROBOT", "127.0.0.1")
                self.base, _, self.query = self.url.partition("?")
                break
        else:
            raise AssertionError("".join(self.errors))
        self._reader = threading.Thread(target=lambda: self.errors.extend(self._process.stderr), daemon=True)
        self._reader.start()

    def interrupt(self) -> tuple[int, float]:
        """Sends SIGINT; the exit code, and how many seconds it took."""
        begin = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(20)
        return code, time.monotonic() - begin

    def close(self) -> None:
        if self._process.poll() is None:
            self.interrupt()
        self._reader.join(5)


class Camera:
    """Publishes the frames to and fro, each stamped with the time; ``shown`` maps a stamp to the index of its frame.

    While ``still`` is set, the same frame comes again and again.
    """

    def __init__(self, robot: Robot, rate: float = 15.0) -> None:
        self.shown: dict[int, int] = {}
        self.still = False
        self._robot, self._period = robot, 1 / rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        order = [*range(len(FRAMES)), *range(len(FRAMES) - 2, 0, -1)]
        number = 0
        while not self._ended.wait(self._period):
            index, stamp_ns = order[number % len(order)], time.time_ns()
            self.shown[stamp_ns] = index
            self._robot.camera.publish(image_message(header(stamp_ns), FRAMES[index]))
            number += not self.still

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(10)
