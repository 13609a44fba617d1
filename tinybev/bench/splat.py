"""The pooling of the lift: ours beside Lift-Splat-Shoot's cumsum and a plain scatter, on the same frame; and the lists
of a new calibration."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from tinybev.bench.interleaved import Prepare, Work, time_in_turns
from tinybev.bench.made_frame import IMAGE_SIZE, made_frame
from tinybev.bench.network import DEFAULT_BUNDLE
from tinybev.bench.speed_row import speed_row, table
from tinybev.model.config import StudentConfig
from tinybev.model.lift_geometry import SplatIndices, splat_indices
from tinybev.model.lift_splat import Lifted, Splat
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.crop import Crop
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import CAMERAS

DESCRIPTION = (
    "the pooling against the cumsum of Lift-Splat-Shoot, and a new calibration (--bundle, --threads, --rounds)"
)
YARDSTICK, CALIBRATION = "cumsum", "new calibration"

Pool = Callable[[Lifted, SplatIndices], Tensor]


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints the table, and returns its rows."""
    spec = args.bundle or DEFAULT_BUNDLE
    config = load_bundle(spec).config
    threads = args.threads or torch.get_num_threads()
    variants: dict[str, Prepare] = {
        name: _Pool(spec, name, threads) for name in (YARDSTICK, "scatter", "embedding_bag")
    }
    variants[CALIBRATION] = _Calibration(spec)
    timings, absent = time_in_turns(variants, args.rounds)
    new = timings.pop(CALIBRATION)
    rows = [
        speed_row("splat", f"{config.name} {name}", "torch", "float32", threads, timing, timings[YARDSTICK])
        for name, timing in timings.items()
    ]
    rows.append(speed_row("splat", f"{config.name} {CALIBRATION}", "numpy", "float64", 1, new, None))
    print(table(rows, absent))
    return [asdict(row) for row in rows]


@dataclass(frozen=True)
class _Pool:
    spec: str
    name: str
    threads: int

    def __call__(self) -> Work:
        torch.set_num_threads(self.threads)
        config = load_bundle(self.spec).config
        indices = Preprocessor(config, use_ego_status=False).prepare(made_frame()).inputs.splat
        lifted, pool = random_lifted(config), pools(config)[self.name]

        def pooled() -> object:
            with torch.inference_mode():
                return pool(lifted, indices)

        return pooled


@dataclass(frozen=True)
class _Calibration:
    """Which point goes into which cell, as after every change of a calibration and, on the road, of the pose."""

    spec: str

    def __call__(self) -> Work:
        config, frame = load_bundle(self.spec).config, made_frame()
        crop = Crop.fit(IMAGE_SIZE, config.image_size)
        intrinsics_BN33 = np.stack([crop.intrinsics(image.intrinsics) for image in frame.images.values()])[None]
        base_T_camera_BN44 = np.stack([image.base_T_camera for image in frame.images.values()])[None]
        return lambda: splat_indices(config, intrinsics_BN33, base_T_camera_BN44)


def pools(config: StudentConfig) -> dict[str, Pool]:
    """The ways of pooling by name; all of them give (1, X, Y, C)."""
    return {
        YARDSTICK: lambda lifted, indices: _cumsum(lifted, indices, config),
        "scatter": lambda lifted, indices: _scatter(lifted, indices, config),
        "embedding_bag": Splat(config).pool,
    }


def random_lifted(config: StudentConfig) -> Lifted:
    """Depth and context of one frame, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    height, width = config.feature_size
    return Lifted(
        torch.randn(1, len(CAMERAS), config.depth_bins, height, width, generator=generator),
        torch.randn(1, len(CAMERAS), height, width, config.context_channels, generator=generator),
    )


def _points(lifted: Lifted, indices: SplatIndices) -> Tensor:
    """What every kept point contributes (P, C), the closing pair left out."""
    weight_P = lifted.depth_logits_BNDHW.softmax(dim=2).flatten()[indices.depth_P[:-1]]
    return lifted.context_BNHWC.flatten(0, 3)[indices.pixel_P[:-1]] * weight_P[:, None]


def _cumsum(lifted: Lifted, indices: SplatIndices, config: StudentConfig) -> Tensor:
    """Sums along the sorted points, and the difference of two sums for each cell: the trick of Lift-Splat-Shoot."""
    total_PC = _points(lifted, indices).cumsum(dim=0)
    total_PC = torch.cat([total_PC.new_zeros(1, total_PC.shape[1]), total_PC])
    ends_G = torch.cat([indices.start_G[1:], indices.start_G.new_tensor([len(total_PC) - 1])])
    return _as_grid(total_PC[ends_G.clamp(max=len(total_PC) - 1)] - total_PC[indices.start_G], config)


def _scatter(lifted: Lifted, indices: SplatIndices, config: StudentConfig) -> Tensor:
    """Adds each point to its cell."""
    points_PC = _points(lifted, indices)
    ends_G = torch.cat([indices.start_G[1:], indices.start_G.new_tensor([len(points_PC)])])
    cell_P = torch.repeat_interleave(torch.arange(len(ends_G)), ends_G - indices.start_G)
    return _as_grid(points_PC.new_zeros(len(ends_G), points_PC.shape[1]).index_add_(0, cell_P, points_PC), config)


def _as_grid(bev_GC: Tensor, config: StudentConfig) -> Tensor:
    return bev_GC.view(1, *config.grid.shape, -1)
