"""The written dataset: the unmodified devkit loads it, scores it, and finds in it what was put in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import load_gt_of_sample_tokens
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.prediction.compute_metrics import compute_metrics
from nuscenes.eval.prediction.config import PredictionConfig
from nuscenes.eval.prediction.data_classes import Prediction
from nuscenes.eval.prediction.metrics import MinADEK, RowMean
from nuscenes.eval.tracking.evaluate import TrackingEval
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.nuscenes import NuScenes
from nuscenes.prediction.helper import PredictHelper
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box
from tinybev_training.world.dataset_writer import VAL, VERSION, Order, begin
from tinybev_training.world.demo_scene import LOCATION, demo_scenario, write_demo_dataset
from tinybev_training.world.recording import Recording

from tinybev.errors import UserError
from tinybev.types import DETECTION_CLASSES

META = {"use_camera": True, "use_lidar": False, "use_radar": False, "use_map": False, "use_external": False}


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's scene, small."""
    root = tmp_path_factory.mktemp("world")
    write_demo_dataset(root, recording=Recording(height=225, width=400), processes=1)
    return root


@pytest.fixture(scope="module")
def nusc(dataroot: Path) -> NuScenes:
    return NuScenes(VERSION, str(dataroot), verbose=False)


def detection_results(nusc: NuScenes) -> dict[str, Any]:
    """The dataset's own boxes, those that the metric looks at, as a submission."""
    truth = load_gt_of_sample_tokens(nusc, [sample["token"] for sample in nusc.sample], DetectionBox)
    return {
        token: [
            {
                "sample_token": token,
                "translation": list(box.translation),
                "size": list(box.size),
                "rotation": list(box.rotation),
                "velocity": [float(v) for v in np.nan_to_num(box.velocity)],
                "detection_name": box.detection_name,
                "detection_score": 1.0,
                "attribute_name": box.attribute_name,
            }
            for box in truth[token]
            if box.num_pts > 0
        ]
        for token in truth.sample_tokens
    }


def test_its_own_ground_truth_scores_one(nusc: NuScenes, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"meta": META, "results": detection_results(nusc)}))
    metrics, _ = DetectionEval(
        nusc, config_factory("detection_cvpr_2019"), str(results), VAL, str(tmp_path / "out"), verbose=False
    ).evaluate()
    summary = metrics.serialize()
    assert sorted(summary["mean_dist_aps"]) == sorted(DETECTION_CLASSES)
    assert summary["mean_dist_aps"] == pytest.approx(dict.fromkeys(DETECTION_CLASSES, 1.0))
    assert summary["mean_ap"] == pytest.approx(1.0)
    assert summary["nd_score"] > 0.99


def test_boxes_put_beside_their_cars_score_nothing(nusc: NuScenes, tmp_path: Path) -> None:
    shifted = detection_results(nusc)
    for boxes in shifted.values():
        for box in boxes:
            box["translation"][1] += 500.0
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"meta": META, "results": shifted}))
    metrics, _ = DetectionEval(
        nusc, config_factory("detection_cvpr_2019"), str(results), VAL, str(tmp_path / "out"), verbose=False
    ).evaluate()
    assert metrics.serialize()["mean_ap"] == 0.0


def test_tracking_of_its_own_ground_truth_is_perfect(nusc: NuScenes, dataroot: Path, tmp_path: Path) -> None:
    config = config_factory("tracking_nips_2019")
    tracks: dict[str, list[dict[str, Any]]] = {sample["token"]: [] for sample in nusc.sample}
    for annotation in nusc.sample_annotation:
        name = next((n for n in DETECTION_CLASSES if _is_class(annotation["category_name"], n)), "")
        if name in config.class_names and annotation["num_lidar_pts"] > 0:
            tracks[annotation["sample_token"]].append(
                {
                    "sample_token": annotation["sample_token"],
                    "translation": annotation["translation"],
                    "size": annotation["size"],
                    "rotation": annotation["rotation"],
                    "velocity": [float(v) for v in np.nan_to_num(nusc.box_velocity(annotation["token"])[:2])],
                    "tracking_id": annotation["instance_token"],
                    "tracking_name": name,
                    "tracking_score": 1.0,
                }
            )
    results = tmp_path / "tracks.json"
    results.write_text(json.dumps({"meta": META, "results": tracks}))
    metrics, _ = TrackingEval(
        config,
        str(results),
        VAL,
        str(tmp_path / "out"),
        VERSION,
        str(dataroot),
        verbose=False,
    ).evaluate()
    summary = metrics.serialize()
    assert summary["amota"] > 0.95
    assert summary["ids"] == 0


def _is_class(category: str, name: str) -> bool:
    words = {"construction_vehicle": "construction", "traffic_cone": "trafficcone"}
    return words.get(name, name) in category.split(".")


def test_predicting_the_recorded_future_has_no_error(nusc: NuScenes) -> None:
    helper = PredictHelper(nusc)
    start = nusc.scene[0]["first_sample_token"]
    predictions = []
    for token in nusc.get("sample", start)["anns"]:
        instance = nusc.get("sample_annotation", token)["instance_token"]
        future = helper.get_future_for_agent(instance, start, 6.0, in_agent_frame=False)
        if len(future) == 12:
            predictions.append(Prediction(instance, start, future[None], np.array([1.0])).serialize())
    assert len(predictions) > 5
    metric = PredictionConfig([MinADEK([1], [RowMean()])], seconds=6)
    assert compute_metrics(predictions, helper, metric)["MinADEK"]["RowMean"] == pytest.approx([0.0])


def test_the_lidar_points_of_a_box_are_in_it(nusc: NuScenes, dataroot: Path) -> None:
    token = nusc.sample[3]["token"]
    sweep = nusc.get("sample_data", nusc.get("sample", token)["data"]["LIDAR_TOP"])
    points = LidarPointCloud.from_file(str(dataroot / sweep["filename"])).points[:3]
    _, boxes, _ = nusc.get_sample_data(sweep["token"])
    counted, inside = [], []
    for box in boxes:
        counted.append(nusc.get("sample_annotation", box.token)["num_lidar_pts"])
        box.wlh = box.wlh + 0.15  # noise of the ranges
        inside.append(int(points_in_box(box, points).sum()))
    counted, inside = np.array(counted), np.array(inside)
    assert counted.sum() > 300
    # What is counted hit the agent itself; the ground under it, or another agent, may be within the box too.
    assert (inside >= 0.97 * counted).all()


def test_a_box_is_where_its_agent_is_seen(nusc: NuScenes) -> None:
    """Points that were lidar echoes of a car, seen by a camera, lie within the car's projected box."""
    scenario = demo_scenario()
    sample = nusc.sample[0]
    classes = {nusc.get("sample_annotation", token)["category_name"] for token in sample["anns"]}
    assert {"vehicle.car", "human.pedestrian.adult"} <= classes
    assert len(sample["anns"]) <= len(scenario.agents)
    for channel, token in sample["data"].items():
        if channel.startswith("CAM"):
            path, boxes, intrinsics = nusc.get_sample_data(token)
            assert cv2.imread(path).shape == (225, 400, 3)
            assert intrinsics.shape == (3, 3)
            assert all(box.center[2] > -3 for box in boxes)


def test_every_reading_is_linked_and_on_the_disk(nusc: NuScenes, dataroot: Path) -> None:
    for record in nusc.sample_data:
        assert (dataroot / record["filename"]).stat().st_size > 500
        if record["next"]:
            assert nusc.get("sample_data", record["next"])["prev"] == record["token"]
    spread = [
        nusc.get("sample_data", sample["data"]["CAM_FRONT_LEFT"])["timestamp"] - sample["timestamp"]
        for sample in nusc.sample
    ]
    assert set(spread) == {-43_000}


def test_the_map_is_read_by_the_devkit(dataroot: Path, nusc: NuScenes) -> None:
    city = NuScenesMap(str(dataroot), LOCATION)
    ego = nusc.get("ego_pose", nusc.get("sample_data", nusc.sample[0]["data"]["LIDAR_TOP"])["ego_pose_token"])
    x, y, _ = ego["translation"]
    masks = city.get_map_mask((x, y, 60, 60), 0.0, ["drivable_area", "ped_crossing", "walkway"], (120, 120))
    assert masks[0, 60, 60] == 1
    assert 0.1 < masks[0].mean() < 0.9
    assert city.record_on_point(x, y, "drivable_area")
    mask = nusc.map[0]["mask"]
    assert bool(mask.is_on_mask(x, y, 0)[0])
    assert all(polygon.is_valid for polygon in map(city.extract_polygon, _polygon_tokens(city)))


def _polygon_tokens(city: NuScenesMap) -> list[str]:
    return [record["token"] for record in city.polygon]


def test_a_dataset_that_is_there_is_not_made_again(dataroot: Path) -> None:
    before = (dataroot / VERSION / "sample.json").stat().st_mtime_ns
    write_demo_dataset(dataroot, recording=Recording(height=225, width=400), processes=1)
    assert (dataroot / VERSION / "sample.json").stat().st_mtime_ns == before


def test_a_dataset_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    begin(tmp_path, Order())
    with pytest.raises(UserError, match="something else"):
        write_demo_dataset(tmp_path, processes=1)
    assert (tmp_path / ".world" / "order.json").is_file()
