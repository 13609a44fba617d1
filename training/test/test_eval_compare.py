"""Runs side by side: what the intervals are of, and that a drawn set of scenes has the figures of that very set."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.tracking.data_classes import TrackingBox
from nuscenes.eval.tracking.evaluate import TrackingEval
from tinybev_training.eval.compare import (
    ComparedRun,
    bootstrap,
    comparison,
    drawn_figures_of,
    drawn_intervals,
    is_summed,
    read_run,
)
from tinybev_training.eval.detection_matches import detection_figures, detection_matches
from tinybev_training.eval.detection_rings import detection_rings
from tinybev_training.eval.evaluate import SampleScores, dense_tasks
from tinybev_training.eval.map_iou import MapCells
from tinybev_training.eval.measure import Measure, mean, ratio
from tinybev_training.eval.motion import MotionErrors
from tinybev_training.eval.occupancy import OccupancyScore, SampleOccupancy
from tinybev_training.eval.results_file import Evaluation, read_evaluation, write_evaluation
from tinybev_training.eval.sample_boxes import SampleBoxes
from tinybev_training.eval.scene_statistics import (
    SceneStatistics,
    drawn_figures,
    read_statistics,
    statistics_file,
    statistics_of,
    write_statistics,
)
from tinybev_training.eval.table import published_table
from tinybev_training.eval.tracking_states import tracking_figures, tracking_states

from tinybev.errors import UserError
from tinybev.types import Detections

SAMPLES_PER_SCENE = 6
Ints = NDArray[np.int64]


def evaluation(errors: dict[str, float], counts: dict[str, int] | None = None) -> Evaluation:
    """With one planning figure, by scene."""
    numbers = counts or dict.fromkeys(errors, 10)
    scenes = {scene: {"planning": {"uniad.L2_3s": Measure(e, numbers[scene])}} for scene, e in errors.items()}
    total = sum(numbers.values())
    whole = sum(errors[scene] * numbers[scene] for scene in errors) / total
    return Evaluation(
        {"split": "mine"},
        {"planning": {"uniad.L2_3s": Measure(whole, total)}, "detection": {"mAP": Measure(math.nan, 0)}},
        scenes,
    )


def test_figures_survive_the_file(tmp_path: Path) -> None:
    expected = evaluation({"a": 1.0, "b": 2.0})
    write_evaluation(tmp_path / "f.json", expected)
    found = read_evaluation(tmp_path / "f.json")
    assert found.tasks["planning"] == expected.tasks["planning"]
    assert found.scenes == expected.scenes
    assert not found.tasks["detection"]["mAP"].valid
    assert "NaN" not in (tmp_path / "f.json").read_text()


def test_intervals_cover_the_spread_of_scenes_and_pair_the_runs() -> None:
    rng = np.random.default_rng(0)
    errors = {f"s{n}": float(value) for n, value in enumerate(rng.normal(2.0, 0.5, 100))}
    first = evaluation(errors)
    better = evaluation({scene: error - 0.1 for scene, error in errors.items()})
    own, difference = bootstrap([first, better], "planning.uniad.L2_3s")
    assert own is not None
    assert difference is not None
    standard_error = np.std(list(errors.values())) / 10
    centre = np.mean(list(errors.values()))
    assert own == pytest.approx((centre - 1.96 * standard_error, centre + 1.96 * standard_error), abs=0.02)
    assert difference == pytest.approx((-0.1, -0.1))  # the same scenes are drawn for both
    table = comparison([ComparedRun("a", first), ComparedRun("b", better)])
    assert "(-0.100) [-0.100, -0.100]" in table
    assert "mAP" not in table  # neither run has it


def test_scenes_weigh_by_their_counts_and_means_that_are_no_sums_get_no_interval() -> None:
    uneven = evaluation({"a": 0.0, "b": 1.0}, {"a": 1, "b": 1_000_000})
    interval = bootstrap([uneven], "planning.uniad.L2_3s")[0]
    assert interval == pytest.approx((0.0, 1.0), abs=1e-5)
    assert is_summed("occupancy.IoU_near")
    for name in ("detection.mAP", "tracking.AMOTA", "motion.minADE", "occupancy.VPQ_near", "map.IoU"):
        assert not is_summed(name)
    assert bootstrap([evaluation({"a": 1.0})], "planning.uniad.L2_3s") == [None]


def test_measures_of_nothing_are_no_number() -> None:
    assert not ratio(0.0, 0).valid
    assert not mean([]).valid
    assert mean([Measure(1.0, 3), Measure(math.nan, 0)]) == Measure(1.0, 1)
    assert "nothing to measure" in published_table(Evaluation({}, {}, {}))


# --- the devkit's figures of drawn scenes ---


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


@settings(max_examples=8, deadline=None)
@given(drawn=st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any))
def test_detection_of_drawn_scenes_is_the_devkits_of_a_list_with_those_scenes(drawn: list[int]) -> None:
    once = detection_evaluation(np.ones(4, dtype=np.int64))
    matches = detection_matches(once, {token: int(token[0]) for token in once.sample_tokens}, 4)
    found = detection_figures(matches, np.array(drawn))
    metrics, _ = detection_evaluation(np.array(drawn)).evaluate()
    assert found["mAP"] == pytest.approx(metrics.mean_ap, abs=1e-12)
    assert found["NDS"] == pytest.approx(metrics.nd_score, abs=1e-12)
    for name, error in (("mATE", "trans_err"), ("mASE", "scale_err"), ("mAOE", "orient_err"), ("mAVE", "vel_err")):
        assert found[name] == pytest.approx(metrics.tp_errors[error], abs=1e-12)
    assert found["mAAE"] == pytest.approx(metrics.tp_errors["attr_err"], abs=1e-12)
    if found["car.AP"] == found["car.AP"]:
        assert found["car.AP"] == pytest.approx(metrics.mean_dist_aps["car"], abs=1e-12)


Tracks = dict[int, list[TrackingBox]]


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


@pytest.mark.filterwarnings("ignore")  # the devkit's, about classes without annotations
@pytest.mark.parametrize("drawn", [(1, 1, 1), (2, 0, 1), (0, 3, 0)])
def test_tracking_of_drawn_scenes_is_the_devkits_of_a_list_with_those_scenes(drawn: tuple[int, ...]) -> None:
    states = tracking_states(tracking_evaluation(np.array([1, 1, 1])), ["0-0", "1-0", "2-0"])
    found = tracking_figures(states, np.array(drawn))
    metrics, _ = tracking_evaluation(np.array(drawn)).evaluate()
    assert 0.1 < found["AMOTA"] < 0.95
    assert found["AMOTA"] == pytest.approx(metrics.compute_metric("amota"), abs=1e-9)
    assert found["AMOTP"] == pytest.approx(metrics.compute_metric("amotp"), abs=1e-9)
    for name in ("car", "pedestrian"):
        assert found[f"{name}.AMOTA"] == pytest.approx(metrics.label_metrics["amota"][name], abs=1e-9)
    assert math.isnan(found["bus.AMOTA"])


# --- the other figures of drawn scenes ---


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
        map=MapCells(rng.integers(1, 5, 5), rng.integers(5, 9, 5)),
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


def test_motion_map_and_occupancy_of_drawn_scenes_are_those_of_their_samples() -> None:
    drawn = [2, 0, 1]
    found = drawn_figures(statistics(), np.array(drawn))
    samples = [sample_scores(n, number) for n, times in enumerate(drawn) for _ in range(times) for number in range(2)]
    tasks = dense_tasks(samples)
    checked = [name for name in found if not name.startswith(("detection", "tracking"))]
    assert {"motion.minADE", "motion.pedestrian.MR", "map.IoU", "occupancy.VPQ_near", "rings.vehicle.AP_2m"} <= set(
        checked
    )
    assert 0 < found["rings.vehicle.AP_2m"] < 1
    for name in checked:
        task, metric = name.split(".", 1)
        assert found[name] == pytest.approx(tasks[task][metric].value, abs=1e-12, nan_ok=True)


def test_the_statistics_survive_the_file(tmp_path: Path) -> None:
    expected, path = statistics(), tmp_path / "a.scenes.npz"
    write_statistics(path, expected)
    found = read_statistics(path)
    assert found.scenes == expected.scenes
    for drawn in ([1, 1, 1], [0, 2, 1]):
        assert drawn_figures(found, np.array(drawn)) == pytest.approx(
            drawn_figures(expected, np.array(drawn)), abs=0, nan_ok=True
        )
    with np.load(path) as file:
        older = {name: array for name, array in file.items() if not name.startswith("rings/")}
    np.savez(path, **older)
    assert not read_statistics(path).rings
    assert "rings.vehicle.AP_2m" not in drawn_figures(read_statistics(path), np.array([1, 1, 1]))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        read_statistics(path)


def test_drawn_intervals_pair_the_runs_and_leave_out_what_a_draw_cannot_measure() -> None:
    first, worse = statistics(), statistics(worse_by_m=0.25)
    found = drawn_intervals([drawn_figures_of(run, resamples=60) for run in (first, worse)])
    own, difference = found["motion.minADE"]
    assert own is not None
    assert own[0] < drawn_figures(first, np.array([1, 1, 1]))["motion.minADE"] < own[1]
    assert difference == pytest.approx((0.25, 0.25))
    for name in ("detection.mAP", "detection.NDS", "tracking.AMOTA", "occupancy.VPQ_far"):
        own, difference = found[name]
        assert own is not None
        assert own[0] < own[1]
        assert difference == (0, 0)
    assert found["detection.bus.AP"] == [None, None]
    others = [ComparedRun("a", evaluation({"scene-0": 1.0}), run) for run in (first, statistics(2))]
    with pytest.raises(UserError, match="the same scenes"):
        comparison(others)


def test_runs_that_list_their_scenes_in_another_order_draw_the_same_ones() -> None:
    first = dataclasses.replace(statistics(), detection={}, rings={}, tracking={})
    turned = dataclasses.replace(
        first,
        scenes=first.scenes[::-1],
        motion={name: errors[::-1] for name, errors in first.motion.items()},
        map=first.map[::-1],
        occupancy=first.occupancy[::-1],
    )
    found = drawn_intervals([drawn_figures_of(run, resamples=20) for run in (first, turned)])
    assert {"motion.minADE", "map.IoU", "occupancy.VPQ_near"} <= set(found)
    for name, (own, difference) in found.items():
        assert own is not None, name
        assert own[0] < own[1]
        assert difference == pytest.approx((0, 0), abs=1e-12)


def test_a_run_is_read_with_the_statistics_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    scenes = {f"scene-{number}": 1.0 + number for number in range(3)}
    figures = evaluation(scenes)
    whole = dataclasses.replace(figures, tasks={**figures.tasks, "tracking": {"AMOTA": Measure(0.5, 2)}})
    write_evaluation(path, whole)
    assert "Only sums over scenes have intervals" in comparison([read_run(path)])
    write_statistics(statistics_file(path), statistics())
    table = comparison([read_run(path), read_run(path)], resamples=30)
    (line,) = [line for line in table.splitlines() if line.startswith("| tracking.AMOTA")]
    assert "(+0.000) [0.000, 0.000]" in line
