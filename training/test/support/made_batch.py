"""Batches made by hand for a small student, and outputs of it that are perfect or random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from rigs import Rig, ring_rig
from tiny_students import THIN
from tinybev_training.data.batch import Batch, Example, collate
from tinybev_training.data.camera_inputs import CameraInputs
from tinybev_training.data.sample import (
    MOTION_STEPS,
    OCCUPANCY_STEPS,
    PLAN_STEPS,
    AgentTargets,
    MapTargets,
    OccupancyTargets,
    PlanTargets,
    Sample,
)
from tinybev_training.losses.depth import NO_DEPTH, depth_targets
from tinybev_training.losses.targets import StudentTargets
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.config import StudentConfig
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.heads.occupancy import OccupancyOutputs
from tinybev.model.heads.peaks import Peaks
from tinybev.model.heads.planning import PlanOutputs
from tinybev.model.student import StudentOutputs
from tinybev.types import ATTRIBUTES, CAMERAS, DETECTION_CLASSES, Detections, Frame

SMALL = dataclasses.replace(
    THIN,
    x_bound=(-16.0, 24.0, 1.0),
    y_bound=(-12.0, 12.0, 1.0),
    d_bound=(1.0, 21.0, 2.0),
    feature_stride=8,
    max_agents=10,
)
"""40x24 cells of 1 m, no symmetry about the ego; 20x12 for the heads. Two hundredths of a second a frame."""
CAR, TRUCK, PEDESTRIAN = (DETECTION_CLASSES.index(name) for name in ("car", "truck", "pedestrian"))


@dataclass(frozen=True)
class MadeAgent:
    """An annotated agent; it drives on at its velocity and is annotated for ``known_steps``."""

    x: float
    y: float
    class_id: int = CAR
    size: tuple[float, float, float] = (4.0, 2.0, 1.5)
    z: float = 0.7
    yaw: float = 0.4
    velocity: tuple[float, float] = (2.0, -1.0)
    attribute_id: int = ATTRIBUTES.index("vehicle.moving")
    track_id: int = 1
    lidar_points: int = 5
    visibility: int = 4
    known_steps: int = MOTION_STEPS


@dataclass(frozen=True)
class MadeSample:
    """What a sample holds; occupied cells are ``(step, row, column, track id)``."""

    agents: tuple[MadeAgent, ...] = ()
    occupied: tuple[tuple[int, int, int, int], ...] = ()
    occupancy_valid: tuple[bool, ...] = (True,) * OCCUPANCY_STEPS
    lines: tuple[tuple[int, int, int], ...] = ()
    """(class, row, column)."""
    map_valid: tuple[bool, ...] = (True,) * 4
    plan_steps: int = PLAN_STEPS
    lidar: np.ndarray = field(default_factory=lambda: np.zeros((0, 5), dtype=np.float32))
    missing_camera: int | None = None


STREET = MadeSample(
    agents=(
        MadeAgent(5.3, 3.2, track_id=7),
        MadeAgent(-6.4, -5.1, TRUCK, (9.0, 2.8, 3.2), yaw=-2.0, track_id=9, known_steps=4),
        MadeAgent(10.2, -3.6, PEDESTRIAN, (0.7, 0.6, 1.8), velocity=(float("nan"),) * 2, attribute_id=2, track_id=12),
    ),
    occupied=((0, 21, 15, 7), (0, 21, 16, 7), (1, 22, 14, 7), (2, 23, 14, 7), (0, 9, 6, 9), (3, 11, 6, 9)),
    lines=((0, 30, 10), (0, 31, 10), (1, 5, 20), (3, 20, 12), (3, 21, 12)),
    lidar=np.array([[8.0, 0.0, 1.0, 0, 0], [12.0, 0.1, 1.0, 0, 0], [3.0, -9.0, 1.2, 0, 0]], dtype=np.float32),
)


def made_batch(*samples: MadeSample, config: StudentConfig = SMALL, rig: Rig | None = None) -> Batch:
    """The batch of some samples, with a ring of cameras."""
    rig = rig or ring_rig(config.image_size)
    return collate([Example(_sample(made, config, n), _cameras(made, rig)) for n, made in enumerate(samples)])


def perfect_outputs(targets: StudentTargets, batch: Batch, config: StudentConfig) -> StudentOutputs:
    """What a student would say that knows the answers and is sure of them."""
    samples, agents = targets.counted_BA.shape
    rows, columns = config.head_grid.shape
    box_BCG = torch.zeros(samples, 10, rows * columns)
    attribute_BCG = torch.zeros(samples, len(ATTRIBUTES), rows * columns)
    for b in range(samples):
        for a in range(agents):
            if targets.counted_BA[b, a]:
                cell = targets.agents.cell_BA[b, a]
                box_BCG[b, :, cell] = torch.nan_to_num(targets.boxes_BAC[b, a])
                attribute_BCG[b, max(int(targets.attributes_BA[b, a]), 0), cell] = 40.0
    boxes = box_BCG.unflatten(2, (rows, columns)).split([2, 1, 3, 2, 2], dim=1)
    bins = depth_targets(batch, config)
    depth_BNDHW = 40.0 * torch.nn.functional.one_hot(bins.clamp(min=0), config.depth_bins).permute(0, 1, 4, 2, 3)
    offset_BAKT2 = targets.futures_BAT2[:, :, None].repeat(1, 1, config.motion_modes, 1, 1)
    offset_BAKT2[:, :, 1:] += 5.0
    mode_BAK = torch.zeros(samples, agents, config.motion_modes)
    mode_BAK[..., 0] = 40.0
    return StudentOutputs(
        depth_logits_BNDHW=depth_BNDHW * (bins != NO_DEPTH)[:, :, None],
        bev_BCXY=torch.zeros(samples, config.bev_channels, rows, columns),
        detection=DetectionOutputs(
            torch.where(targets.heatmap_BKXY == 1, 20.0, -20.0), *boxes, attribute_BCG.unflatten(2, (rows, columns))
        ),
        map_BKXY=torch.where(targets.map_BCXY, 20.0, -20.0),
        occupancy=OccupancyOutputs(torch.where(targets.occupied_BTXY, 20.0, -20.0), targets.flow_BT2XY),
        plan=PlanOutputs(targets.plan_BT2, targets.headings_BT2),
        agents=targets.agents,
        motion=MotionOutputs(
            offset_BAKT2, torch.full_like(offset_BAKT2, -6.0), torch.zeros_like(offset_BAKT2[..., 0]), mode_BAK
        ),
        stem_BCXY=torch.zeros(samples, config.bev_widths[0], rows, columns),
    )


def random_outputs(config: StudentConfig, samples: int, agents: Peaks, seed: int = 0) -> StudentOutputs:
    """Random numbers of the right shapes; leaves that take gradients."""
    generator = torch.Generator().manual_seed(seed)
    heads, cells, count = config.head_grid.shape, config.grid.shape, agents.cell_BA.shape[1]

    def draw(*shape: int) -> Tensor:
        return torch.randn(samples, *shape, generator=generator).requires_grad_()

    motion = (count, config.motion_modes, config.motion_steps)
    return StudentOutputs(
        depth_logits_BNDHW=draw(len(CAMERAS), config.depth_bins, *config.feature_size),
        bev_BCXY=draw(config.bev_channels, *heads),
        detection=DetectionOutputs(
            draw(len(DETECTION_CLASSES), *heads), *(draw(n, *heads) for n in (2, 1, 3, 2, 2, len(ATTRIBUTES)))
        ),
        map_BKXY=draw(4, *cells),
        occupancy=OccupancyOutputs(draw(config.occupancy_steps, *cells), draw(config.occupancy_steps, 2, *cells)),
        plan=PlanOutputs(draw(config.plan_steps, 2), draw(config.plan_steps, 2)),
        agents=agents,
        motion=MotionOutputs(draw(*motion, 2), draw(*motion, 2), draw(*motion).detach().tanh(), draw(*motion[:2])),
        stem_BCXY=draw(config.bev_widths[0], *heads),
    )


def _sample(made: MadeSample, config: StudentConfig, number: int) -> Sample:
    grid = config.grid
    instances = np.zeros((OCCUPANCY_STEPS, *grid.shape), dtype=np.int32)
    for step, row, column, track in made.occupied:
        instances[step, row, column] = track
    masks = np.zeros((4, *grid.shape), dtype=np.bool_)
    for map_class, row, column in made.lines:
        masks[map_class, row, column] = True
    steps = np.arange(1, PLAN_STEPS + 1, dtype=np.float32)
    return Sample(
        scene="made",
        token=f"token-{number}",
        frame=Frame(stamp_ns=number, images={}),
        ego=None,
        agents=_agents(made.agents),
        occupancy=OccupancyTargets(instances, np.array(made.occupancy_valid), grid),
        map=MapTargets(masks, np.array(made.map_valid), grid),
        plan=PlanTargets(
            np.stack([3.0 * steps, 0.1 * steps**2], axis=1), 0.05 * steps, np.arange(PLAN_STEPS) < made.plan_steps
        ),
        lidar_points=made.lidar,
    )


def _agents(agents: Sequence[MadeAgent]) -> AgentTargets:
    count = len(agents)
    times = 0.5 * np.arange(1, MOTION_STEPS + 1)[:, None]
    futures = np.zeros((count, MOTION_STEPS, 2), dtype=np.float32)
    known = np.zeros((count, MOTION_STEPS), dtype=np.bool_)
    for n, agent in enumerate(agents):
        known[n, : agent.known_steps] = True
        velocity = np.nan_to_num(np.array(agent.velocity), nan=1.0)
        futures[n] = np.where(known[n][:, None], np.array([agent.x, agent.y]) + times * velocity, 0.0)

    def column(name: str, *shape: int, dtype: type = np.float32) -> np.ndarray:
        return np.array([getattr(agent, name) for agent in agents], dtype=dtype).reshape(count, *shape)

    return AgentTargets(
        boxes=Detections(
            centers=np.stack([column("x"), column("y"), column("z")], axis=1),
            sizes=column("size", 3),
            yaws=column("yaw"),
            velocities=column("velocity", 2),
            scores=np.ones(count, dtype=np.float32),
            class_ids=column("class_id", dtype=np.int64),
            attribute_ids=column("attribute_id", dtype=np.int64),
            track_ids=column("track_id", dtype=np.int64),
        ),
        lidar_points=column("lidar_points", dtype=np.int64),
        visibility=column("visibility", dtype=np.int64),
        futures=futures,
        futures_valid=known,
    )


def _cameras(made: MadeSample, rig: Rig) -> CameraInputs:
    count = len(CAMERAS)
    mask = np.arange(count) != (-1 if made.missing_camera is None else made.missing_camera)
    return CameraInputs(
        images_NHWC=np.zeros((count, *rig.image_size, 3), dtype=np.uint8),
        mask_N=mask,
        intrinsics_N33=np.where(mask[:, None, None], rig.intrinsics, np.nan),
        base_T_camera_N44=np.where(mask[:, None, None], rig.base_T_camera, np.eye(4)),
    )


HALF_GRID = BevGrid((-10.0, 10.0, 0.5), (-16.0, 8.0, 0.5))
"""Of a teacher that sees less in front, more to the right, and finer."""
