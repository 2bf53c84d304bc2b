"""What this machine's processor is good at."""

import re
from dataclasses import dataclass
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """Maker and extensions, as Linux names them; on other systems nothing is known."""

    maker: str = ""
    flags: frozenset[str] = frozenset()

    @classmethod
    def here(cls) -> "Processor":
        text = CPU_INFO.read_text() if CPU_INFO.exists() else ""
        maker, flags = (re.search(rf"^{name}\s*:(.*)$", text, re.MULTILINE) for name in ("vendor_id", "flags"))
        return cls(maker[1].strip() if maker else "", frozenset(flags[1].split() if flags else []))

    @property
    def bf16_is_slow(self) -> bool:
        """Whether networks run in bf16, which OpenVINO takes wherever there is some, slower than in fp32.

        An Intel Xeon without AMX needs 1.4 times as long, an AMD EPYC gains.
        """
        return self.maker == "GenuineIntel" and "avx512_bf16" in self.flags and "amx_bf16" not in self.flags

    @property
    def int8_is_fastest(self) -> bool:
        """Whether it adds products of bytes in one instruction (VNNI), and has no bf16 that is fast as well."""
        has_vnni = not self.flags.isdisjoint({"avx512_vnni", "avx_vnni"})
        return has_vnni and ("avx512_bf16" not in self.flags or self.bf16_is_slow)
