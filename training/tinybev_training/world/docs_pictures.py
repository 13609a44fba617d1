"""Pictures of docs/world.md, every label projected: ``python -m tinybev_training.world.docs_pictures --out DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.draw.boxes import EDGES, FRONT_FACE
from tinybev.draw.layout import TILES
from tinybev.draw.palette import DETECTION_COLORS
from tinybev.geometry import Array, box_corners, invert, project, transform_points
from tinybev_training.world.cameras import MountedCamera, rig
from tinybev_training.world.demo_scene import WEATHER, demo_scenario
from tinybev_training.world.keyframes import Labels, keyframe_stamps, label
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.render import render_camera
from tinybev_training.world.weather import with_strengths
from tinybev_training.world.world import World, build_world, pose_matrix

LOOKS: dict[str, list[str]] = {"day": [], "night": ["night=1"], "fog": ["fog=0.5"]}
KEYFRAME = 14
TILE = (540, 304)
QUALITY = 80
NEAR_M = 0.2


def mosaic(world: World, keyframe: int, height: int = 450, width: int = 800) -> NDArray[np.uint8]:
    """The six cameras at a keyframe, blue first, with the annotations of the keyframe as the dataset has them.

    A camera fires up to some 40 ms away from the keyframe, so the box of what moves fast is ahead of or behind it by
    as much as it drives meanwhile, as in nuScenes.
    """
    stamp_ns = keyframe_stamps(world.scenario)[keyframe]
    labels = label(world.scenario, world.scenario.at(stamp_ns))
    tiles = {camera.name: _tile(world, camera, stamp_ns, labels) for camera in rig(height, width)}
    return np.vstack([np.hstack([tiles[name] for name in row]) for row in TILES])


def _tile(world: World, camera: MountedCamera, stamp_ns: int, labels: Labels) -> NDArray[np.uint8]:
    fired_ns = stamp_ns + camera.offset_ns
    image = np.ascontiguousarray(render_camera(world, camera, fired_ns).rgb[..., ::-1])
    camera_T_scene = invert(pose_matrix(world.scenario.at(fired_ns).ego) @ camera.base_T_camera)
    for row in range(len(labels.agents)):
        corners = box_corners(labels.centers[row], labels.sizes[row], float(labels.yaws[row]))
        red, green, blue = DETECTION_COLORS[int(labels.class_ids[row])]
        _draw_box(image, transform_points(camera_T_scene, corners), camera, (blue, green, red))
    return cv2.resize(image, TILE, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _draw_box(
    image: NDArray[np.uint8], corners: Array, camera: MountedCamera, color: tuple[float, float, float]
) -> None:
    """Edges of a box (8, 3) in the camera's frame; the front face has a cross."""
    ends = np.concatenate([EDGES, FRONT_FACE[[[0, 2], [1, 3]]]])
    for a, b in corners[ends]:
        if max(a[2], b[2]) <= NEAR_M:
            continue
        # What lies behind the camera is cut off, or it would be projected upside down.
        a, b = (p if p[2] > NEAR_M else p + (NEAR_M - p[2]) / (q[2] - p[2]) * (q - p) for p, q in ((a, b), (b, a)))
        pixels, _ = project(np.stack([a, b]), camera.intrinsics)
        if np.abs(pixels).max() < 20_000:
            start, end = (tuple(int(v) for v in np.round(pixel)) for pixel in pixels)
            cv2.line(image, start, end, color, 1, cv2.LINE_AA)


def main() -> None:
    """Writes world_day.jpg, world_night.jpg and world_fog.jpg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the pictures")
    parser.add_argument("--keyframe", type=int, default=KEYFRAME, help="of the demo's scene")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with one_thread():
        for name, wish in LOOKS.items():
            picture = mosaic(build_world(demo_scenario(), with_strengths(WEATHER, wish)), args.keyframe)
            cv2.imwrite(str(args.out / f"world_{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
