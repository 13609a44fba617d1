"""Scenes with made boxes, tracks and scores, the same for the same number, and the devkit's evaluations of them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.tracking.data_classes import TrackingBox
from nuscenes.eval.tracking.evaluate import TrackingEval
from tinybev_training.eval.detection_matches import detection_matches
from tinybev_training.eval.detection_rings import detection_rings
from tinybev_training.eval.evaluate import SampleScores
from tinybev_training.eval.map_iou import MapCells
from tinybev_training.eval.motion import MotionErrors
from tinybev_training.eval.occupancy import OccupancyScore, SampleOccupancy
from tinybev_training.eval.sample_boxes import SampleBoxes
from tinybev_training.eval.scene_statistics import SceneStatistics, statistics_of
from tinybev_training.eval.tracking_states import tracking_states

from tinybev.types import Detections

SAMPLES_PER_SCENE = 6
Ints = NDArray[np.int64]
Tracks = dict[int, list[TrackingBox]]


def detection_scene(scene: int, copy: int = 0) -> tuple[EvalBoxes, EvalBoxes]:
    """The annotated and the predicted boxes of a scene of four classes, under the tokens of a copy."""
    rng = np.random.default_rng(100 + scene)
    theirs, ours = EvalBoxes(), EvalBoxes()
    for number in range(SAMPLES_PER_SCENE):
        token = f"{scene}-{copy}-{number}"
        true_boxes, boxes = [], []
        for name in ("car", "pedestrian", "barrier", "traffic_cone"):
            for _ in range(rng.integers(0, 4)):
                x, y = rng.uniform(-20, 20, 2)
                attribute = {"car": "vehicle.parked", "pedestrian": "pedestrian.standing"}.get(name, "")
                true_boxes.append(detection_box(token, name, x, y, -1.0, attribute))
                for _ in range(rng.integers(0, 3)):
                    dx, dy = rng.normal(0, 1, 2)
                    moving = attribute.replace("parked", "moving") if rng.random() < 0.5 else attribute
                    score = float(rng.uniform(0.1, 1))
                    boxes.append(detection_box(token, name, x + dx, y + dy, score, moving, float(rng.normal(0, 0.3))))
        theirs.add_boxes(token, true_boxes)
        ours.add_boxes(token, boxes)
    return theirs, ours


def detection_box(
    token: str, name: str, x: float, y: float, score: float, attribute: str, yaw: float = 0.0
) -> DetectionBox:
    rotation = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    return DetectionBox(
        token, (x, y, 0.0), (2.0, 4.0 + yaw, 1.5), rotation, (yaw, 0.0), (0.0, 0.0, 0.0), 5, name, score, attribute
    )


def detection_evaluation(drawn: Ints) -> DetectionEval:
    """The devkit's evaluation of scenes that are there as often as ``drawn`` says, without its reading of files."""
    evaluation = DetectionEval.__new__(DetectionEval)
    evaluation.cfg, evaluation.verbose = config_factory("detection_cvpr_2019"), False
    evaluation.gt_boxes, evaluation.pred_boxes = EvalBoxes(), EvalBoxes()
    for scene, times in enumerate(drawn):
        for copy in range(times):
            theirs, ours = detection_scene(scene, copy)
            for token in theirs.sample_tokens:
                evaluation.gt_boxes.add_boxes(token, theirs[token])
                evaluation.pred_boxes.add_boxes(token, ours[token])
    evaluation.sample_tokens = evaluation.gt_boxes.sample_tokens
    return evaluation


def tracking_scene(scene: int) -> tuple[Tracks, Tracks]:
    """Annotated and predicted tracks that cross, break off, change their ids and are invented."""
    rng = np.random.default_rng(200 + scene)
    theirs: Tracks = {}
    ours: Tracks = {}
    scores = {str(number): float(rng.uniform(0.1, 1)) for number in range(40)}
    starts, speeds = rng.uniform(-5, 5, (6, 2)), rng.uniform(-1.5, 1.5, (6, 2))
    ids = [str(number) for number in range(6)]
    for time in range(12):
        theirs[time], ours[time] = [], []
        for number in range(6):
            name = "car" if number < 4 else "pedestrian"
            x, y = starts[number] + time * speeds[number]
            theirs[time].append(tracking_box(f"truth-{number}", name, x, y, -1.0))
            if rng.random() < 0.1:
                ids[number] = str(rng.integers(6, 40))
            if rng.random() < 0.85 and ids.count(ids[number]) == 1:
                dx, dy = rng.normal(0, 0.7, 2)
                ours[time].append(tracking_box(ids[number], name, x + dx, y + dy, scores[ids[number]]))
        if rng.random() < 0.5:
            ours[time].append(tracking_box("invented", "car", *rng.uniform(-8, 8, 2), 0.4))
    return theirs, ours


def tracking_box(track: str, name: str, x: float, y: float, score: float) -> TrackingBox:
    return TrackingBox("t", (x, y, 0.0), tracking_id=track, tracking_name=name, tracking_score=score)


def tracking_evaluation(drawn: Ints) -> TrackingEval:
    evaluation = TrackingEval.__new__(TrackingEval)
    evaluation.cfg, evaluation.verbose = config_factory("tracking_nips_2019"), False
    evaluation.output_dir, evaluation.render_classes = "", None
    scenes = [(f"{scene}-{copy}", scene) for scene, times in enumerate(drawn) for copy in range(times)]
    evaluation.tracks_gt = {token: tracking_scene(scene)[0] for token, scene in scenes}
    evaluation.tracks_pred = {token: tracking_scene(scene)[1] for token, scene in scenes}
    return evaluation


def sample_scores(scene: int, number: int) -> SampleScores:
    rng = np.random.default_rng([scene, number])
    matched = rng.random(9) < 0.8
    errors = np.where(matched[:, None], rng.exponential(1.0, (9, 3)), np.nan)
    score = OccupancyScore(*(int(value) for value in rng.integers(5, 9, 2)), float(rng.uniform(2, 3)), 4, 2, 1)
    return SampleScores(
        scene=f"scene-{scene}",
        motion={
            name: MotionErrors(np.sort(rng.uniform(0.3, 1, 9))[::-1], matched, matched, errors, 3, 12, 11)
            for name in ("car", "pedestrian")
        },
        map=MapCells(rng.integers(1, 5, (5, 5)), rng.integers(5, 9, (5, 5))),
        occupancy=SampleOccupancy(score, score),
        plan=None,
        raw_plan=None,
        boxes=SampleBoxes(0, 0, 0, (), 0, 0),
        rings=detection_rings(vehicles(rng, 6), vehicles(rng, 4), np.full(4, 4), np.ones(4, dtype=np.bool_)),
    )


def vehicles(rng: np.random.Generator, count: int) -> Detections:
    """Cars along a line, some metres from where others are."""
    at = np.stack([np.arange(count) * 7.0, rng.uniform(0, 2.5, count), np.zeros(count)], axis=1)
    scores, ids = rng.random(count), np.zeros(count, dtype=np.int64)
    return Detections(at, np.ones((count, 3)), np.zeros(count), np.zeros((count, 2)), scores, ids, ids - 1, ids)


def statistics(scenes: int = 3, worse_by_m: float = 0.0) -> SceneStatistics:
    """Of scenes with two samples each; ``worse_by_m`` is added to every error of motion."""
    samples = [sample_scores(scene, number) for scene in range(scenes) for number in range(2)]
    moved = [
        dataclasses.replace(
            sample,
            motion={
                name: dataclasses.replace(errors, errors=errors.errors + worse_by_m)
                for name, errors in (sample.motion or {}).items()
            },
        )
        for sample in samples
    ]
    once = detection_evaluation(np.ones(scenes, dtype=np.int64))
    return statistics_of(
        [f"scene-{scene}" for scene in range(scenes)],
        moved,
        detection_matches(once, {token: int(token[0]) for token in once.sample_tokens}, scenes),
        tracking_states(tracking_evaluation(np.ones(scenes, dtype=np.int64)), [f"{n}-0" for n in range(scenes)]),
    )
