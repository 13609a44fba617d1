"""What the runtime keeps of earlier frames for a network with a BEV memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinybev.geometry import Array, invert
from tinybev.model.config import StudentConfig
from tinybev.model.temporal import Memory
from tinybev.types import Floats

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class _Remembered:
    stamp_ns: int
    map_T_base: Floats
    stem_CXY: Tensor


class BevMemory:
    """Features of the last frames, from which those are recalled that are about ``time_step_s`` apart.

    Cameras may run at any rate, while the network was trained on memories of one spacing, so the frame nearest to each
    multiple of the spacing is taken, and none where none is within half of it.
    """

    def __init__(self, config: StudentConfig) -> None:
        self._count = config.memory_frames
        self._spacing_ns = round(config.time_step_s * _NS_PER_S)
        self._shape = (config.bev_widths[0], *config.head_grid.shape)
        self._frames: deque[_Remembered] = deque()

    def recall(self, stamp_ns: int, map_T_base: Floats | None) -> Memory:
        """The memory, a batch of one, as seen from the ego pose at ``stamp_ns``; empty where the pose is unknown."""
        feat_MCXY = torch.zeros(self._count, *self._shape)
        past_T_now_M33 = torch.eye(3).repeat(self._count, 1, 1)
        known_M = torch.zeros(self._count)
        for m in range(self._count):
            one = None if map_T_base is None else self._nearest(stamp_ns - (m + 1) * self._spacing_ns)
            if one is not None and map_T_base is not None:
                feat_MCXY[m] = one.stem_CXY
                past_T_now_M33[m] = torch.from_numpy(planar(invert(one.map_T_base) @ np.asarray(map_T_base)))
                known_M[m] = 1.0
        return Memory(feat_MCXY[None], past_T_now_M33[None], known_M[None])

    def remember(self, stamp_ns: int, map_T_base: Floats | None, stem_BCXY: Tensor) -> None:
        """Keeps a frame, a batch of one, and forgets those that are too old to be recalled."""
        if map_T_base is None:
            self.clear()  # across a gap in the poses nothing can be moved
            return
        self._frames.append(_Remembered(stamp_ns, map_T_base, stem_BCXY[0]))
        oldest_ns = stamp_ns - (self._count + 1) * self._spacing_ns
        while self._frames[0].stamp_ns < oldest_ns:
            self._frames.popleft()

    def clear(self) -> None:
        """Forgets everything."""
        self._frames.clear()

    def _nearest(self, stamp_ns: int) -> _Remembered | None:
        nearest = min(self._frames, key=lambda one: abs(one.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > self._spacing_ns // 2:
            return None
        return nearest


def planar(a_T_b: Array) -> Array:
    """The part (3, 3) of a rigid transform (4, 4) that moves points (x, y, 1) of the ground plane."""
    flat = np.eye(3)
    flat[:2, :2], flat[:2, 2] = a_T_b[:2, :2], a_T_b[:2, 3]
    return flat
