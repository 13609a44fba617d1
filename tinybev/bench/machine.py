"""What a figure was measured on, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
_TOLD_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
"""The instructions that decide how fast a network runs, and in which precisions."""


def machine_name(cpu_info: Path = CPU_INFO) -> str:
    """Cores that this process may use, the processor's name and family, and what of ``_TOLD_FLAGS`` it has."""
    try:
        lines = cpu_info.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name") or platform.processor() or platform.machine()
    family = f" (family {told['cpu family']})" if "cpu family" in told else ""
    there = set(told.get("flags", "").split())
    flags = [flag for flag in _TOLD_FLAGS if flag in there]
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' if cores > 1 else ''} of {name}{family}{', ' if flags else ''}{', '.join(flags)}"
