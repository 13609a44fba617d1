"""What a figure was measured on, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
_TOLD_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
"""The instructions that decide how fast a network runs, and in which precisions."""


def cpu_name(cpu_info: Path = CPU_INFO) -> str:
    """The processor's own name, or its architecture where the file of that form does not tell."""
    return _told(cpu_info).get("model name") or platform.processor() or platform.machine()


def machine_name(cpu_info: Path = CPU_INFO) -> str:
    """Cores that this process may use, the processor's name and family, and what of ``_TOLD_FLAGS`` it has."""
    told = _told(cpu_info)
    family = f" (family {told['cpu family']})" if "cpu family" in told else ""
    there = set(told.get("flags", "").split())
    flags = "".join(f", {flag}" for flag in _TOLD_FLAGS if flag in there)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' if cores > 1 else ''} of {cpu_name(cpu_info)}{family}{flags}"


def _told(cpu_info: Path) -> dict[str, str]:
    """Of the last processor in the file, by key; nothing where there is no such file."""
    try:
        lines = cpu_info.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
