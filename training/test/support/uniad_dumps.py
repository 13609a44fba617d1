"""Dumps of UniAD and the batches they belong to: a lidar that is mounted and moved, in worlds that are turned."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import uniad_results as uniad
from scipy.spatial.transform import Rotation
from tinybev_training.data.batch import Batch, Example, collate
from tinybev_training.data.bev_augmentation import BevAugmentation
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.teacher.outputs import TeacherOutputs
from tinybev_training.teacher.uniad_dump import UniadDumps

from tinybev.geometry import Array
from tinybev.types import DETECTION_CLASSES

DUMPER = Path(__file__).resolve().parents[2] / "uniad" / "dump_teacher.py"
FACTS = {"classes": ",".join(DETECTION_CLASSES), "size_order": "length-width", "yaw": "counterclockwise"}
NUSCENES_MOUNTING = np.eye(4)
"""Like nuScenes' lidar: 0.94 m ahead, 1.84 m up, its x to the right, tilted a little."""
NUSCENES_MOUNTING[:3, :3] = Rotation.from_euler("ZYX", [-90.4, 0.3, -0.6], degrees=True).as_matrix()
NUSCENES_MOUNTING[:3, 3] = [0.94, 0.0, 1.84]
EGO_MOTION = np.eye(4)
"""What the ego did between the sweep and the reference stamp, as base_T_sweep."""
EGO_MOTION[:3, :3] = Rotation.from_euler("z", 1.5, degrees=True).as_matrix()
EGO_MOTION[:3, 3] = [-0.31, 0.04, 0.0]
TURNED = BevAugmentation(rotation=0.3, flip_x=False, flip_y=True)


def load_dumper() -> ModuleType:
    """The stand-alone script, which is in no package."""
    spec = importlib.util.spec_from_file_location("dump_teacher", DUMPER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dumper = load_dumper()

CAR = uniad.LidarObject((-8.0, 21.0, -0.9), (4.6, 1.9, 1.5), 1.9, (-1.0, 4.0), "car")
WALKER = uniad.LidarObject((6.0, -3.0, -0.7), (0.6, 0.7, 1.8), -0.4, (0.9, -0.5), "pedestrian", 0.5)


def batch_of(
    dataset: NuScenesDataset,
    worlds: list[BevAugmentation],
    mounting: Array = NUSCENES_MOUNTING,
    motion: Array = EGO_MOTION,
) -> Batch:
    """The first samples of the dataset, one a world, with a lidar mounted and moved as given."""
    samples = [dataset.sample(index, world) for index, world in enumerate(worlds)]
    batch = collate([Example(sample, camera_inputs(sample.frame, (32, 64))) for sample in samples])
    return replace(
        batch,
        base_T_sweep_B44=torch.from_numpy(np.stack([world.matrix @ motion for world in worlds])),
        sweep_T_lidar_B44=torch.from_numpy(mounting).repeat(len(worlds), 1, 1),
    )


def dump(folder: Path, token: str, **tensors: torch.Tensor) -> None:
    """Writes the tensors as the dump of a sample."""
    folder.mkdir(exist_ok=True)
    dumper.write_dump(folder, token, tensors, FACTS)


def read(folder: Path, batch: Batch) -> TeacherOutputs:
    """What the dumps in ``folder`` say about the batch."""
    return UniadDumps(folder, batch.tokens)(batch)
