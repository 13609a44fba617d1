"""A stand-in for UniAD and its environment, as far as the dumper touches them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import uniad_results as uniad
from uniad_dumps import CAR

from tinybev.types import DETECTION_CLASSES


class Head:
    """A head whose methods return what the functions make that it is given, anew at every call."""

    def __init__(self, **makers: Callable[[], Any]) -> None:
        for name, make in makers.items():
            setattr(self, name, lambda *args, make=make, **kwargs: make())


class FakeUniad:
    """UniAD's detector as far as the recorder sees it, its ``forward_test`` included, which empties its results."""

    def __init__(self, objects: list[uniad.LidarObject]) -> None:
        rng = torch.Generator().manual_seed(3)
        self.bev = torch.randn(uniad.CHANNELS, uniad.SIDE, uniad.SIDE, generator=rng)
        self.masks = torch.rand(len(objects), 5, uniad.SIDE, uniad.SIDE, generator=rng)
        self.lines = torch.rand(3, uniad.SIDE, uniad.SIDE, generator=rng)
        self.drivable = torch.rand(uniad.SIDE, uniad.SIDE, generator=rng) * 1.3  # a ReLU's, and so above 1 at times
        self.plan = torch.randn(1, 6, 2, generator=rng)
        how = ("length-width", "counterclockwise")
        decoded = uniad.decoder_result(objects, torch.full((len(objects), 10), 0.1), *how, rng)
        moving = uniad.motion_result(objects, rng)
        self.simple_test_track = lambda *args: uniad.track_result(objects, self.bev.clone(), *how)
        self.pts_bbox_head = Head(get_detections=lambda: decoded)
        self.seg_head = Head(forward_test=lambda: uniad.map_result(self.lines, self.drivable))
        self.motion_head = Head(forward_test=lambda: moving)
        self.occ_head = Head(forward_test=lambda: uniad.occupancy_result(self.masks))
        self.planning_head = Head(forward_test=lambda: {"sdc_traj": self.plan, "sdc_traj_all": self.plan})
        self.planning_head.use_col_optim = True  # type: ignore[attr-defined]

    def forward_test(self) -> None:
        """As UniAD's: every part in turn, then the results are taken out."""
        track = self.simple_test_track("img", None, None, [{}], 0.0)
        self.pts_bbox_head.get_detections(None)  # type: ignore[attr-defined]
        segmented = self.seg_head.forward_test(None)  # type: ignore[attr-defined]
        self.motion_head.forward_test(None, outs_track=track[0])  # type: ignore[attr-defined]
        occupied = self.occ_head.forward_test(None)  # type: ignore[attr-defined]
        self.planning_head.forward_test(None)  # type: ignore[attr-defined]
        track[0]["bev_embed"].zero_()
        for gone in ("bev_embed", "boxes_3d"):
            track[0].pop(gone)
        segmented[0].pop("pts_bbox")
        occupied.pop("pred_ins_sigmoid", None)


class Settings(dict[str, Any]):
    """mmcv's configuration: keys are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value


class FakeDetector(FakeUniad):
    """One that can be called as UniAD's test loop calls it, and may be interrupted."""

    def __init__(self) -> None:
        super().__init__([CAR])
        self.seen: list[int] = []
        self.stop_at: int | None = None

    def cuda(self) -> FakeDetector:
        return self

    def eval(self) -> FakeDetector:
        return self

    def __call__(self, return_loss: bool, rescale: bool, index: int) -> None:
        if self.stop_at is not None and len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(index)
        self.forward_test()


class FakeDataset:
    """Two scenes of two samples; what the loader hands on is the sample's number."""

    CLASSES = DETECTION_CLASSES

    def __init__(self, ann_file: str) -> None:
        assert ann_file == "train.pkl"
        row = uniad.box_row(CAR, "length-width", "counterclockwise")
        forward = (3 * math.cos(CAR.heading), 3 * math.sin(CAR.heading))
        boxes = {"gt_boxes": np.array([row[:7]]), "gt_names": ["car"], "gt_velocity": [forward]}
        order = [("b", 0), ("b", 1), ("a", 0), ("a", 1)]
        self.data_infos = [{"scene_token": s, "token": f"{s}{n}", "timestamp": n, **boxes} for s, n in order]

    def __len__(self) -> int:
        return len(self.data_infos)

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"index": index}


def in_uniads_environment(monkeypatch: pytest.MonkeyPatch, detector: FakeDetector) -> None:
    """Modules of the names that the script imports, doing as little as it asks for."""
    data = Settings(
        test=Settings(ann_file="val.pkl", samples_per_gpu=1), train=Settings(ann_file="train.pkl"), workers_per_gpu=0
    )
    config = Settings(data=data, plugin_dir="projects/mmdet3d_plugin/", model=Settings())
    modules: dict[str, dict[str, Any]] = {
        "mmcv": {"Config": SimpleNamespace(fromfile=lambda path: config)},
        "mmcv.parallel": {
            "MMDataParallel": lambda model, device_ids: model,
            "collate": lambda samples, samples_per_gpu: samples[0],
        },
        "mmcv.runner": {"load_checkpoint": lambda model, path, map_location: None},
        "mmdet3d": {},
        "mmdet3d.datasets": {"build_dataset": lambda settings: FakeDataset(settings["ann_file"])},
        "mmdet3d.models": {"build_model": lambda settings, test_cfg: detector},
        "projects": {},
        "projects.mmdet3d_plugin": {},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        for key, value in content.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)
