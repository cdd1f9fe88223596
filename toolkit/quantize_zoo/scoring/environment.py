"""What a measurement was made on. Figures of different environments are never compared as if they were one."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"
# Limits of oneDNN's instruction sets below which there is no lower precision.
SETS_OF_F32 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI")
_INTERESTING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True)
class Environment:
    """The machine and the versions; ``isa_limit`` is the set that oneDNN was limited to, empty without a limit."""

    cpu: str
    cores: int
    instruction_sets: tuple[str, ...]
    isa_limit: str
    system: str
    python: str
    openvino: str
    numpy: str
    hyperopt: str
    quantize_zoo: str


@cache
def _processor() -> dict[str, Any]:
    """What the processor says of itself: asking takes a second, and the answer does not change."""
    import cpuinfo

    info: dict[str, Any] = cpuinfo.get_cpu_info()
    return info


def _system() -> str:
    """Kernel without its builder's additions, machine and C library: ``Linux 6.1.0 x86_64, glibc 2.36``."""
    kernel = f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}"
    return ", ".join(part for part in (kernel, " ".join(platform.libc_ver()).strip()) if part)


def cpu_flags() -> frozenset[str]:
    """Return what the processor can do, by the names of Linux."""
    return frozenset(_processor().get("flags", ()))


def describe_environment() -> Environment:
    """Describe this process's environment."""
    import openvino as ov

    info = _processor()
    flags = cpu_flags()
    return Environment(
        cpu=info.get("brand_raw", platform.processor()),
        cores=len(os.sched_getaffinity(0)),
        instruction_sets=tuple(flag for flag in _INTERESTING if flag in flags),
        isa_limit=os.environ.get(ISA_VARIABLE, ""),
        system=_system(),
        python=platform.python_version(),
        openvino=ov.get_version(),
        numpy=version("numpy"),
        hyperopt=version("hyperopt"),
        quantize_zoo=version("quantize-zoo"),
    )
