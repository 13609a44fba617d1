"""What is true around the ego at one keyframe, as geometry: before it is turned for augmentation and drawn onto grids.

Axes: base_link at the reference stamp, metres, radians. Turning geometry is exact; turning grids is not, which is why
this stage exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.types import EgoStatus, Frame, MapClass
from tinybev_training.data.sample import AgentTargets, PlanTargets, SweepPose


@dataclass(frozen=True)
class Footprints:
    """The boxes of one moment as rectangles on the ground.

    Attributes:
        centers: (M, 2).
        sizes: (M, 2) length, width.
        yaws: (M,).
        track_ids: (M,) as in ``AgentTargets``.
        class_ids: (M,) index into ``DETECTION_CLASSES``.
    """

    centers: Array
    sizes: Array
    yaws: Array
    track_ids: NDArray[np.int64]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def corners(self) -> Array:
        """(M, 4, 2): front-left, front-right, rear-right, rear-left."""
        half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2 * self.sizes[:, None, :]
        cos, sin = np.cos(self.yaws)[:, None], np.sin(self.yaws)[:, None]
        turned = np.stack([cos * half[..., 0] - sin * half[..., 1], sin * half[..., 0] + cos * half[..., 1]], axis=-1)
        return turned + self.centers[:, None, :]


@dataclass(frozen=True)
class MapGeometry:
    """The map around the ego.

    Attributes:
        lines: polylines (P, 2) of each line class; a class that the map does not know has no entry, one that it knows
            but has none of here an empty one.
        drivable: polygons, each its rings (P, 2), outline and holes, or None where the map does not know them.
    """

    lines: dict[MapClass, tuple[Array, ...]]
    drivable: tuple[tuple[Array, ...], ...] | None


@dataclass(frozen=True)
class Surroundings:
    """One keyframe.

    Attributes:
        scene: name of the scene.
        token: nuScenes' sample token.
        frame: the input, ``frame.goal`` included.
        ego: ego status now, None where it is unknown.
        agents: the annotated agents and their futures.
        footprints: ``OCCUPANCY_STEPS`` entries, now and later; None where the recording has ended.
        map: the map.
        plan: where the ego went.
        lidar_points: (P, 5) x, y, z, intensity, ring; (0, 5) where there is no lidar.
        sweep: where the lidar was, known without its points too; None where there is none.
        augmented_T_base: (4, 4) from base_link as recorded to the turned or mirrored base_link that all this is in.
    """

    scene: str
    token: str
    frame: Frame
    ego: EgoStatus | None
    agents: AgentTargets
    footprints: tuple[Footprints | None, ...]
    map: MapGeometry
    plan: PlanTargets
    lidar_points: NDArray[np.float32]
    sweep: SweepPose | None = None
    augmented_T_base: Array = field(default_factory=lambda: np.eye(4))
