"""Launch files loaded for tests: with the real launch_ros, or with stand-ins that record what the file builds."""

import ast
import importlib.util
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Call:
    """What a class of launch was called with."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def perform(self, values):
        return values[self.args[0]]


def load_file(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_with_stand_ins(path: Path, monkeypatch):
    """The file, with classes that record their calls in place of those that it imports from launch and launch_ros."""
    for name in ("launch", "launch_ros", "launch_ros.events"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if node.module.startswith("launch"):
            module = types.ModuleType(node.module)
            for alias in node.names:
                setattr(module, alias.name, type(alias.name, (Call,), {}))
            monkeypatch.setitem(sys.modules, node.module, module)
    return load_file(path)
