"""docs/tuning.md names every tracking parameter with its default."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from stif_core.tracking import TrackerSettings

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "tuning.md").read_text()
ROWS = {
    name: default
    for names, defaults in re.findall(r"^\| (`[a-z_`, ]+) \| (.*?) \|", TEXT, re.MULTILINE)
    for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", ") * 3, strict=False)
}


def shown(value) -> str:
    return str(value).lower()


@pytest.mark.parametrize("field", fields(TrackerSettings), ids=lambda field: field.name)
def test_parameter_is_named_with_its_default(field):
    assert field.name in ROWS
    if field.name == "calibration":
        return
    if isinstance(field.default, tuple):
        assert ", ".join(f"{value:g}" for value in field.default) in TEXT
    else:
        assert ROWS[field.name] == shown(field.default)
