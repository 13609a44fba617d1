"""Where a run happens: what does not decide its outcome and may be another when it goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from tinybev.errors import UserError


@dataclass(frozen=True)
class Place:
    """Data, output and machine.

    Attributes:
        dataroot, version: of a nuScenes-format dataset.
        out: folder of the run.
        device: "cpu", "cuda", or "auto": cuda where PyTorch finds it.
        devices: processes on this machine, one a GPU; under torchrun it is torchrun that says.
        workers: processes that load, for each process that trains.
        cache: folder of decoded images, for recipes that keep them.
        pictures: validation samples of which every validation draws a picture.
    """

    dataroot: Path
    version: str
    out: Path
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    cache: Path = Path("out/image-cache")
    pictures: int = 2


def is_first_process() -> bool:
    """Whether this process is the one that speaks and writes, of those that train together."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Processes:
    """How many take part: on this machine, and on how many machines."""

    devices: int
    machines: int


def processes(place: Place) -> Processes:
    """What torchrun says, or else ``place``.

    Raises:
        UserError: both say something, and not the same.
    """
    if "LOCAL_WORLD_SIZE" not in os.environ:
        return Processes(place.devices, 1)
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if place.devices not in (1, here):
        raise UserError(f"--devices {place.devices}: torchrun started {here} processes here; leave --devices out.")
    return Processes(here, everywhere // here)
