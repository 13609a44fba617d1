"""A cross-modal teacher measured like a student: its predictions, where they lie, and what it must be given."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nuscenes import SCENES, VERSION, write_tiny_nuscenes
from tiny_teacher import tiny_config
from tinybev_training.data.batch import Batch, Example, collate
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.eval.ground_truth import pose_of
from tinybev_training.eval.measured_network import load_measured_network
from tinybev_training.eval.predicting import RUN_FILE, PredictionRun, predict_split
from tinybev_training.eval.predictions import Prediction, from_results
from tinybev_training.eval.predictor import Predicted
from tinybev_training.eval.speed import speed_measures
from tinybev_training.eval.submission import detection_boxes
from tinybev_training.eval.teacher_predictor import MeasuredTeacher, TeacherPredictor
from tinybev_training.teacher.cross_modal import CrossModal, seeded_teacher
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.teacher.stored import WEIGHTS_FILE, load_teacher, save_teacher
from tinybev_training.train.inputs import Told

from tinybev.cli import run_command
from tinybev.errors import UserError
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import StudentOutputs
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import OutputDecoder
from tinybev.types import CAMERAS

torch.set_num_threads(1)

OPTIONS = PipelineOptions(device="cpu", score_threshold=0.05, threads=1)  # two threads sum in another order
SPLIT = "mine"
CONFIG = tiny_config().network


def lively_teacher(seed: int = 1) -> CrossModal:
    """With boxes that differ from cell to cell, as an untrained head's hardly do."""
    teacher = seeded_teacher(tiny_config(), seed)
    draw = torch.Generator().manual_seed(seed)
    torch.nn.init.normal_(teacher.detection_head.box.weight, std=0.3, generator=draw)
    torch.nn.init.normal_(teacher.detection_head.center.weight, std=0.5, generator=draw)
    return teacher


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher as training leaves it."""
    path = tmp_path_factory.mktemp("teacher") / "bundle"
    save_teacher(lively_teacher(), path, {})
    return path


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of 1.5 s."""
    root = write_tiny_nuscenes(tmp_path_factory.mktemp("eval-teacher") / "data", seconds=1.5)
    (root / VERSION / "splits.json").write_text(json.dumps({SPLIT: list(SCENES)}))
    return root


@pytest.fixture(scope="module")
def dataset(dataroot: Path) -> NuScenesDataset:
    return open_dataset(dataroot, VERSION, SPLIT, keep_imageless=True)


def run_of(folder: Path, dataroot: Path, out: Path) -> PredictionRun:
    return PredictionRun(str(folder), dataroot, VERSION, SPLIT, OPTIONS, out)


def predictor(dataset: NuScenesDataset) -> TeacherPredictor:
    return TeacherPredictor(dataset, TeacherNetwork(lively_teacher()), OPTIONS)


def assert_same(found: Prediction, expected: Prediction) -> None:
    """Boxes have been to the global frame and back."""
    assert found.token == expected.token
    np.testing.assert_array_equal(found.map_T_base, expected.map_T_base)
    assert len(found.detections) == len(expected.detections)
    np.testing.assert_allclose(found.detections.centers, expected.detections.centers, atol=1e-6)
    np.testing.assert_allclose(found.detections.scores, expected.detections.scores, atol=1e-9)
    np.testing.assert_array_equal(found.detections.track_ids, expected.detections.track_ids)
    assert found.map is not None
    assert expected.map is not None
    np.testing.assert_allclose(found.map.probability, expected.map.probability, atol=1e-6)
    assert found.trajectories is not None
    assert expected.trajectories is not None
    np.testing.assert_allclose(found.trajectories.positions, expected.trajectories.positions, atol=1e-5)
    assert found.occupancy is not None
    assert expected.occupancy is not None
    np.testing.assert_array_equal(found.occupancy.instances, expected.occupancy.instances)
    assert found.plan is not None
    assert expected.plan is not None
    np.testing.assert_allclose(found.plan.positions, expected.plan.positions, atol=1e-5)
    assert found.plan.goal == expected.plan.goal


def by_hand(dataset: NuScenesDataset, folder: Path) -> list[Prediction]:
    """Every keyframe through the network and the decoder; a scene's tracks are counted from 1."""
    network, decoder = TeacherNetwork(load_teacher(folder)), OutputDecoder(CONFIG, OPTIONS)
    examples = TrainingSet(dataset, CONFIG.image_size, past_frames=CONFIG.memory_frames)
    predictions = []
    for index, where in enumerate(dataset.keyframes):
        if where.number == 0:
            decoder = OutputDecoder(CONFIG, OPTIONS)
        surroundings, batch = dataset.surroundings(index), collate([examples[index]])
        with torch.no_grad():
            outputs = network(batch, Told.everything(batch, ego_status=False))
        decoded = decoder.decode(outputs, surroundings.frame)
        predictions.append(from_results(surroundings.token, pose_of(surroundings), decoded))
    return predictions


def test_each_keyframes_prediction_is_the_networks_decoded(
    folder: Path, dataroot: Path, dataset: NuScenesDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the second scene, it goes on with that scene, and then has nothing left to run."""
    run, seen = run_of(folder, dataroot, tmp_path / "p"), []
    predict, per_scene = TeacherPredictor.predict, len(dataset) // 2

    def counted(self: TeacherPredictor, index: int, lost: tuple[str, ...]) -> Predicted:
        seen.append(index)
        if len(seen) == per_scene + 2:
            raise KeyboardInterrupt
        return predict(self, index, lost)

    monkeypatch.setattr(TeacherPredictor, "predict", counted)
    with pytest.raises(KeyboardInterrupt):
        predict_split(run, 1)
    seen.clear()
    predictions, speed = predict_split(run, 1)
    assert seen == list(range(per_scene, 2 * per_scene))
    expected = by_hand(dataset, folder)
    assert min(len(one.detections) for one in expected) > 2
    for one in expected:
        assert_same(predictions.load(one.token), one)
    assert speed is not None
    assert speed.frames == len(dataset)
    assert speed.total_ms > speed.network_ms > 0
    assert speed.device.startswith("cpu, ")
    seen.clear()
    predict_split(run, 1)
    assert not seen


def test_two_processes_find_what_one_finds(
    folder: Path, dataroot: Path, dataset: NuScenesDataset, tmp_path: Path
) -> None:
    predictions, _ = predict_split(run_of(folder, dataroot, tmp_path / "two"), 2)
    for where, one in zip(dataset.keyframes, by_hand(dataset, folder), strict=True):
        found = predictions.load(one.token)
        if where.number == 0:  # a process that has run a scene before goes on counting
            before = int(found.detections.track_ids.min()) - 1
        assert found.occupancy is not None
        ids, instances = found.detections.track_ids - before, found.occupancy.instances
        instances = np.where(instances > 0, instances - before, 0)
        detections = replace(found.detections, track_ids=ids)
        assert_same(replace(found, detections=detections, occupancy=replace(found.occupancy, instances=instances)), one)


class _Knowing(TeacherNetwork):
    """A teacher that finds the annotated agents of its batch, each exactly where the batch has it."""

    def forward(self, batch: Batch, told: Told, agents: Peaks | None = None) -> StudentOutputs:
        outputs = super().forward(batch, told, agents)
        detection, grid = outputs.detection, self.config.head_grid
        heatmap, offset = torch.full_like(detection.heatmap_BKXY, -10.0), torch.zeros_like(detection.offset_B2XY)
        height, heading = torch.zeros_like(detection.height_B1XY), torch.zeros_like(detection.heading_B2XY)
        for a in range(batch.agents.mask_BA.shape[1]):
            center, yaw = batch.agents.centers_BA3[0, a], batch.agents.yaws_BA[0, a]
            row, column = (
                (float(center[axis]) - low) / size for axis, (low, _, size) in enumerate((grid.x_bound, grid.y_bound))
            )
            x, y = int(row), int(column)
            heatmap[0, int(batch.agents.class_ids_BA[0, a]), x, y] = 5.0
            offset[0, :, x, y] = torch.tensor([row - x, column - y])
            height[0, 0, x, y] = center[2]
            heading[0, :, x, y] = torch.stack([yaw.sin(), yaw.cos()])
        known = detection._replace(heatmap_BKXY=heatmap, offset_B2XY=offset, height_B1XY=height, heading_B2XY=heading)
        return outputs._replace(detection=known, agents=self.teacher.find_peaks(heatmap))


def test_what_is_found_lies_where_the_tables_have_it(dataroot: Path, dataset: NuScenesDataset) -> None:
    """Network, decoder and result file speak of base_link at one pose: that of the student's frame. The ego drives a
    bend at 8 m/s, so a pose of another sensor's stamp would be off."""
    predictor = TeacherPredictor(dataset, _Knowing(lively_teacher()), OPTIONS)
    nusc = open_tables(dataroot, VERSION)
    for index in (0, 2, len(dataset) - 1):
        surroundings = dataset.surroundings(index)
        prediction = predictor.predict(index, ()).prediction
        np.testing.assert_array_equal(prediction.map_T_base, pose_of(surroundings))
        annotations = [nusc.get("sample_annotation", token) for token in nusc.get("sample", surroundings.token)["anns"]]
        near = [
            one["translation"]
            for one in annotations
            if np.abs((np.linalg.inv(pose_of(surroundings)) @ [*one["translation"], 1.0])[:2]).max() < 16
        ]
        assert near
        found = sorted(box["translation"] for box in detection_boxes(prediction))
        np.testing.assert_allclose(found, sorted(near), atol=1e-3)


def test_cameras_that_are_lost_are_lost_in_the_past_too(
    dataroot: Path, dataset: NuScenesDataset, tmp_path: Path
) -> None:
    lost, root = ("CAM_FRONT", "CAM_FRONT_RIGHT"), tmp_path / "data"
    shutil.copytree(dataroot, root)
    for camera in lost:
        shutil.rmtree(root / "samples" / camera)
    without = open_dataset(root, VERSION, SPLIT)
    expected = predictor(without).predict(1, ()).prediction
    assert_same(predictor(dataset).predict(1, lost).prediction, expected)
    whole = predictor(dataset).predict(1, ()).prediction
    assert whole.map is not None
    assert expected.map is not None
    assert not np.allclose(whole.map.probability, expected.map.probability)
    assert predictor(dataset).predict(1, CAMERAS).times is None


def test_a_keyframe_without_images_has_no_output_and_is_not_remembered(
    dataroot: Path, dataset: NuScenesDataset, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataroot, root)
    for record in dataset.keyframes[1].cameras:
        (root / record.path.relative_to(dataroot)).unlink()
    holey = open_dataset(root, VERSION, SPLIT, keep_imageless=True)
    blind = predictor(holey).predict(1, ())
    assert blind.times is None
    assert blind.prediction.plan is None
    assert len(blind.prediction.detections) == 0
    example = TrainingSet(holey, CONFIG.image_size)[2]
    batch = collate([Example(example.sample, example.cameras, (None,))])
    with torch.no_grad():
        outputs = TeacherNetwork(lively_teacher())(batch, Told.everything(batch, ego_status=False))
    alone = OutputDecoder(CONFIG, OPTIONS).decode(outputs, example.sample.frame)
    after = predictor(holey).predict(2, ()).prediction
    assert_same(after, from_results(after.token, after.map_T_base, alone))


def test_what_is_no_teacher_or_no_data_for_one_is_refused(folder: Path, dataroot: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / WEIGHTS_FILE).write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"expected a trained teacher .*cannot be read"):
        load_measured_network(str(broken))
    with pytest.raises(UserError, match=r"expected a folder with manifest.json"):
        load_measured_network(str(tmp_path))
    out, other = tmp_path / "p", tmp_path / "other"
    predict_split(run_of(folder, dataroot, out), 1)
    save_teacher(lively_teacher(seed=2), other, {})
    with pytest.raises(UserError, match="other weights, code, samples or options"):
        predict_split(run_of(other, dataroot, out), 1)
    noted = json.loads((out / RUN_FILE).read_text())
    for changed in ({"code": "of another version"}, {"tables": [1, 2]}):
        (out / RUN_FILE).write_text(json.dumps(noted | changed))
        with pytest.raises(UserError, match="other weights, code, samples or options"):
            predict_split(run_of(folder, dataroot, out), 1)
    root = tmp_path / "data"
    shutil.copytree(dataroot, root)
    shutil.rmtree(root / "samples" / "LIDAR_TOP")
    with pytest.raises(UserError, match="teacher-tiny learns from cameras and lidar"):
        predict_split(run_of(folder, root, tmp_path / "q"), 2)
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize("told", [True, False])
def test_a_teacher_is_told_the_vehicles_motion_where_it_learnt_with_it(
    told: bool, dataset: NuScenesDataset, tmp_path: Path
) -> None:
    teacher = lively_teacher()
    torch.nn.init.normal_(teacher.planning_head.predict.weight, generator=torch.Generator().manual_seed(3))
    save_teacher(teacher, tmp_path / "t", {"recipe": {"telling": {"ego_status": told}}})
    index = 2
    examples = TrainingSet(dataset, CONFIG.image_size, past_frames=CONFIG.memory_frames)
    batch = collate([examples[index]])
    assert batch.ego_mask_B.all()
    with torch.no_grad():
        plan_T2 = TeacherNetwork(teacher.eval())(batch, Told.everything(batch, told)).plan.position_BT2[0]
    unrefined = replace(OPTIONS, refine_plan=False)
    measured = MeasuredTeacher(tmp_path / "t")
    found = measured.predictor(dataset, unrefined).predict(index, ()).prediction.plan
    assert found is not None
    np.testing.assert_allclose(found.positions, plan_T2.numpy(), atol=1e-5)
    always = replace(OPTIONS, ego_status="always")
    if told:
        measured.predictor(dataset, always)
    else:
        with pytest.raises(UserError, match="expected weights that were trained with it"):
            measured.predictor(dataset, always)


def test_the_command_measures_a_teacher(folder: Path, dataroot: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    arguments = ("--bundle", folder, "--dataroot", dataroot, "--split", SPLIT, "--save", tmp_path / "p")
    words = [str(word) for word in (*arguments, "--device", "cpu", "--json", figures)]
    assert run_command("tinybev_training.eval.commands", words, "tinybev eval") == 0
    data = json.loads(figures.read_text())
    assert data["planning"]["uniad"]["L2_1s"] > 0
    assert data["counts"]["planning"]["outputs"] == len(open_tables(dataroot, VERSION).sample)
    teacher = load_teacher(folder)
    assert data["speed"]["parameters"] == sum(parameter.numel() for parameter in teacher.parameters())
    assert data["speed"]["MACs"] is None
    assert not speed_measures(str(folder), None)["MACs"].valid
    again = [str(word) for word in ("--predictions", tmp_path / "p", "--save", tmp_path / "again", *arguments[2:6])]
    assert run_command("tinybev_training.eval.commands", again, "tinybev eval") == 0
    cameras = {"use_camera": True, "use_radar": False, "use_map": False, "use_external": False}
    for name in ("p/detections.json", "p/tracks.json", f"p/scenes/{SCENES[0]}.json", "again/detections.json"):
        assert json.loads((tmp_path / name).read_text())["meta"] == {**cameras, "use_lidar": True}
