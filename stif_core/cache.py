"""Where stif keeps what can be made again: indices of data sets, TensorRT engines."""

import os
from pathlib import Path


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/stif``, or ``~/.cache/stif``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of XDG asks to ignore relative paths.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "stif"
