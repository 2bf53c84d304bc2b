"""Configuration of a STIF network; readable without PyTorch.

Where the paper is silent a field says so. ``GOOGLENET`` (the paper's) and ``NANO`` are the two variants.
"""

import difflib
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints


@dataclass(frozen=True)
class StifConfig:
    """Everything that fixes the shape and the arithmetic of a network."""

    trunk: Literal["googlenet", "mobilenet_v3_small", "fbnet"]
    crop_size: int  # S, side of every crop in pixels
    channels: int  # C, width of the memory and query features
    tower_depth: int  # 3x3 convolutions in each tower of the head
    tower_channels: int
    memory_frames: int = 3  # T
    ste: bool = True  # temporal and spatial enhancement of the memory
    query_sde: bool = True  # spatial enhancement of the query
    interaction: bool = True  # attention both ways with gates; False: STMTrack's memory read-out
    tde: Literal["dot", "cosine"] = "dot"  # similarity to the initial frame; "dot" is the paper's
    sde_gain: float = 1.0  # 2: the enhancement starts as the identity; the paper has 1
    memory_residual: bool = False  # G(M') + M' in the memory half (our reading; nano)
    separable: bool = False  # 3x3 convolutions of the neck, the gates and the head are depthwise, with a 1x1 behind
    query_residual: bool = True  # F_q + G(Q') in the query half (our reading)
    offset_bias: float = 0.0  # start of b in exp(s o + b) * stride
    score: Literal["product", "geometric_mean"] = "product"  # of class and centreness

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StifConfig":
        """Checks the keys and builds the configuration.

        Raises:
            ValueError: A key is unknown or a required one is missing.
        """
        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; known keys: {', '.join(sorted(known))}"
                raise ValueError(f"unknown key '{key}' in the model configuration{hint}")
        try:
            config = cls(**values)
        except TypeError as error:
            raise ValueError(f"incomplete model configuration: {error}") from None
        for name, choices in CHOICES.items():
            if getattr(config, name) not in choices:
                raise ValueError(f"'{name}' of the model is '{getattr(config, name)}', expected {' or '.join(choices)}")
        for name, most in LIMITS.items():
            value = getattr(config, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise ValueError(f"'{name}' of the model is {value!r}, expected a whole number from 1 to {most}")
        return config

    @property
    def enhanced_frames(self) -> int:
        """K, the maps of an enhanced memory: one, or all T where STMTrack's read-out attends to each of them."""
        return 1 if self.ste or self.interaction else self.memory_frames

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


# Far beyond any sensible network, so that a damaged file asks for no more memory than there is.
LIMITS = {"crop_size": 1024, "channels": 4096, "tower_depth": 64, "tower_channels": 4096, "memory_frames": 64}
CHOICES: dict[str, tuple[str, ...]] = {
    name: get_args(get_type_hints(StifConfig)[name]) for name in ("trunk", "tde", "score")
}

GOOGLENET = StifConfig(
    trunk="googlenet", crop_size=289, channels=512, tower_depth=7, tower_channels=256, query_residual=False
)

NANO = StifConfig(
    trunk="fbnet",
    crop_size=256,
    channels=96,
    tower_depth=2,
    tower_channels=96,
    tde="cosine",
    sde_gain=2.0,
    memory_residual=True,
    offset_bias=0.6931471805599453,  # log 2: offsets start at two cells, half the side of a target
    score="geometric_mean",
)

VARIANTS = {"googlenet": GOOGLENET, "nano": NANO}
