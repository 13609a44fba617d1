"""How fast the world is rendered: ``python -m tinybev_training.world.bench``."""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from tinybev_training.data.targets import UNIAD_GRIDS
from tinybev_training.world.cameras import rig
from tinybev_training.world.demo_scene import WEATHER, demo_scenario
from tinybev_training.world.endless import LiveScene
from tinybev_training.world.memory_log import city_map, scene_log
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.world import build_world


def measure(size: tuple[int, int], device: str, samples: int) -> dict[str, object]:
    """Renders samples of the demo's scene, six cameras, lidar and targets each, on one thread or on a GPU."""
    scenario, cameras = demo_scenario(), rig(*size)
    with one_thread():
        started = time.perf_counter()
        world = build_world(scenario, WEATHER, device)
        built = time.perf_counter() - started
        scene = LiveScene(world, scene_log(scenario, cameras), city_map(scenario), cameras)
        scene.surroundings(0, True, UNIAD_GRIDS.map_radius_m)
        times = []
        for index in range(samples):
            started = time.perf_counter()
            scene.surroundings(index % len(scene.log.keyframes), True, UNIAD_GRIDS.map_radius_m)
            times.append(time.perf_counter() - started)
    name = torch.cuda.get_device_name() if device != "cpu" else "one CPU thread"
    return {
        "device": name,
        "width": size[1],
        "height": size[0],
        "samples_per_s": round(1 / float(np.mean(times)), 3),
        "pictures_per_s": round(6 / float(np.mean(times)), 2),
        "median_ms": round(1000 * float(np.median(times)), 1),
        "scene_set_up_s": round(built, 2),
    }


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(800, 450), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=20)
    args = parser.parse_args()
    print(json.dumps(measure((args.size[1], args.size[0]), args.device, args.samples)))


if __name__ == "__main__":
    main()
