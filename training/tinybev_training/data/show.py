"""Every target of a keyframe in one picture: projected into the cameras, and on its grid seen from above."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinybev.draw.mosaic import draw_mosaic
from tinybev.draw.overlay import Overlay
from tinybev.draw.strokes import Image
from tinybev.types import CAMERAS, CameraFrame, Frame, MapClass, MapSegment, Plan, Trajectories
from tinybev_training.data.camera_inputs import CameraInputs
from tinybev_training.data.panels import futures_panel, lidar_panel, map_panel, occupancy_panel
from tinybev_training.data.sample import OCCUPANCY_STEPS, STEP_S, AgentTargets, PlanTargets, Sample
from tinybev_training.data.surroundings import MapGeometry, Surroundings

WIDTH = 1920
_PANELS_A_ROW = 4


def draw_sample(surroundings: Surroundings, sample: Sample, cameras: CameraInputs | None = None) -> Image:
    """One picture (H, ``WIDTH``, 3) BGR.

    Args:
        surroundings: the geometry that the targets were drawn from.
        sample: the targets drawn from it.
        cameras: what the network sees, in place of the images as they are.
    """
    frame = sample.frame if cameras is None else _network_frame(sample.frame, cameras)
    overlay = Overlay(
        detections=sample.agents.boxes,
        segments=_segments(surroundings.map),
        trajectories=_trajectories(sample.agents),
        plan=_plan(sample.plan, sample.frame),
        title=f"{sample.scene}  {sample.token}",
    )
    side = WIDTH // _PANELS_A_ROW
    steps = surroundings.footprints
    grid = sample.occupancy.grid
    panels = [
        map_panel(sample.map, side),
        lidar_panel(sample, steps[0], grid, side),
        futures_panel(sample, steps[0], grid, side),
        *(occupancy_panel(sample.occupancy, step, steps[step], side) for step in range(OCCUPANCY_STEPS)),
    ]
    rows = [np.hstack(panels[n : n + _PANELS_A_ROW]) for n in range(0, len(panels), _PANELS_A_ROW)]
    return np.vstack([draw_mosaic(frame, overlay, WIDTH), *rows])


def _network_frame(frame: Frame, cameras: CameraInputs) -> Frame:
    """The frame with the network's images and the calibration that belongs to them."""
    size = cameras.images_NHWC.shape[1:3]
    images = {
        camera: CameraFrame(
            camera=camera,
            stamp_ns=frame.images[camera].stamp_ns,
            image=cameras.images_NHWC[n],
            intrinsics=cameras.intrinsics_N33[n],
            image_size=(size[0], size[1]),
            base_T_camera=cameras.base_T_camera_N44[n],
            map_T_base=frame.map_T_base,  # the ego's motion is in the mounting already
        )
        for n, camera in enumerate(CAMERAS)
        if cameras.mask_N[n]
    }
    return Frame(frame.stamp_ns, images, frame.map_T_base, frame.goal, frame.ego)


def _segments(geometry: MapGeometry) -> tuple[MapSegment, ...]:
    lines = [MapSegment(map_class, line, 1.0) for map_class, lines in geometry.lines.items() for line in lines]
    rings = [MapSegment(MapClass.DRIVABLE, ring, 1.0, closed=True) for p in geometry.drivable or () for ring in p]
    return (*rings, *lines)


def _trajectories(agents: AgentTargets) -> Trajectories:
    """The futures as one mode each; a step that is not annotated repeats the one before it."""
    positions = agents.futures.copy()
    before: NDArray[np.floating[Any]] = agents.boxes.centers[:, :2]
    for step in range(positions.shape[1]):
        unknown = ~agents.futures_valid[:, step]
        positions[unknown, step] = before[unknown]
        before = positions[:, step]
    count = len(positions)
    return Trajectories(
        positions=positions[:, None],
        sigmas=np.zeros_like(positions)[:, None],
        probabilities=np.ones((count, 1)),
        track_ids=agents.boxes.track_ids,
        class_ids=agents.boxes.class_ids,
        time_step_s=STEP_S,
    )


def _plan(plan: PlanTargets, frame: Frame) -> Plan | None:
    positions = plan.positions[plan.valid]
    if not len(positions):
        return None
    steps = np.diff(np.vstack([np.zeros((1, 2)), positions]), axis=0)
    speeds = np.linalg.norm(steps, axis=1) / STEP_S
    return Plan(positions, plan.yaws[plan.valid], speeds, positions, frame.goal, STEP_S)
