"""A recorded scene through the real player, middleware and node, against the same frames computed without ROS.

The expectation is made from the dataset's tables: images, calibration and poses as the devkit tells them, grouped by
the synchronizer in the order of their stamps. Only frames of one complete revolution are compared, since how an
incomplete one is completed depends on when its images arrive. Compared is every field of the five results but the
track ids, which depend on all the frames before.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tinybev_ros.msg as messages
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Path as PathMessage
from nuscenes.nuscenes import NuScenes
from rclpy.serialization import deserialize_message
from recorded_scene import RecordedScene, generated_scene, real_scene

from tinybev.config import NodeConfig, pipeline_options
from tinybev.frames import FrameAssembler, SyncOptions
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.pipeline import Pipeline
from tinybev.types import CameraFrame, Frame, Results
from tinybev_ros import conversions
from tinybev_ros.bag import open_bag
from tinybev_ros.bringup import processes
from tinybev_ros.demo import Input, play_and_record
from tinybev_ros.diagnostics import Report
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import SensorReading, find_scene, scene_mountings, scene_readings

BUNDLE = "untrained:tinybev-nano:3"
SECONDS = 3.0
RATE = 0.5
COMPARED_AT_LEAST = 3


@pytest.fixture(params=["generated", "real"])
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> RecordedScene:
    """A generated scene, and scene-0103 where nuScenes is at hand."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    if request.param == "generated":
        return generated_scene(folder)
    return real_scene(request.getfixturevalue("nuscenes_dataroot"), folder)


def test_what_arrives_is_what_the_same_frames_give_without_ros(
    recorded: RecordedScene, tmp_path: Path, ros_domain: int
) -> None:
    nusc = NuScenes(recorded.version, str(recorded.dataroot), verbose=False)
    bag = convert_scene(nusc, recorded.scene, tmp_path / "input").bag
    report = play_through_node(bag, tmp_path / "outputs")

    frames = complete_frames(nusc, recorded)
    pipeline = Pipeline(load_bundle(BUNDLE), pipeline_options(NodeConfig()))
    compared = 0
    for stamp_ns, arrived in read_outputs(tmp_path / "outputs").items():
        if stamp_ns in frames:
            pipeline.reset()
            assert_same(arrived, pipeline.run(frames[stamp_ns]))
            compared += 1
    assert compared >= COMPARED_AT_LEAST
    counts = report.counts
    assert counts.refused == 0
    assert counts.inferred >= compared
    assert counts.inferred + counts.dropped <= counts.assembled + counts.partial


def play_through_node(bag: Path, outputs: Path) -> Report:
    """Plays the first seconds of a bag through the graph that users start; records it; returns the diagnostics."""
    graph = processes({"bag": str(bag), "bundle": BUNDLE, "foxglove": "off"})
    node, player = graph[0], graph[-1]
    # On a busy machine an image or a pose may come later than usual; the node would go on without it.
    graph[0] = replace(node, parameters={**node.parameters, "input_wait": 2.0, "sync_max_wait": 2.0})
    graph[-1] = replace(player, parameters={**player.parameters, "duration": SECONDS, "rate": RATE})
    report, _ = play_and_record(graph, Input(bag, "test", SECONDS, 6), outputs, endless=False)
    return report


def complete_frames(nusc: NuScenes, recorded: RecordedScene) -> dict[int, Frame]:
    """The frames of complete revolutions by stamp, from the tables and files of the dataset."""
    scene = find_scene(nusc, recorded.scene)
    mountings = scene_mountings(nusc, scene)
    readings = scene_readings(nusc, scene)
    assembler: FrameAssembler[SensorReading] = FrameAssembler(SyncOptions())
    sets = []
    for reading in readings:
        if reading.modality == "camera":
            sets += assembler.push(reading.channel, reading.stamp_ns, reading, reading.stamp_ns)
    frames = {}
    for camera_set in (*sets, *assembler.flush()):
        if camera_set.missing or camera_set.joined:
            continue
        images = {}
        for camera, stamped in camera_set.items.items():
            reading, mounting = stamped.payload, mountings[camera]
            assert mounting.intrinsics is not None
            images[camera] = CameraFrame(
                camera=camera,
                stamp_ns=reading.stamp_ns,
                image=reading.path.read_bytes(),
                intrinsics=mounting.intrinsics,
                image_size=reading.image_size,
                base_T_camera=mounting.base_T_sensor,
                map_T_base=reading.map_T_base,
            )
        newest = max(images.values(), key=lambda image: image.stamp_ns)
        frames[camera_set.stamp_ns] = Frame(camera_set.stamp_ns, images, newest.map_T_base)
    return frames


def read_outputs(outputs: Path) -> dict[int, dict[str, object]]:
    """The recorded messages by stamp and the last part of their topic."""
    types = {
        "detections": messages.DetectedObjects,
        "map_segments": messages.MapSegments,
        "trajectories": messages.PredictedTrajectories,
        "occupancy_forecast": messages.OccupancyForecast,
        "plan": messages.PlannedTrajectory,
        "occupancy": OccupancyGrid,
        "path": PathMessage,
    }
    arrived: dict[int, dict[str, object]] = {}
    with open_bag(outputs) as bag:
        for message in bag.messages([f"/tinybev/{name}" for name in types]):
            name = message.topic.rsplit("/", 1)[1]
            decoded = deserialize_message(message.data, types[name])
            assert decoded.header.frame_id == "base_link"
            assert not getattr(decoded, "model", messages.ModelInfo()).trained
            arrived.setdefault(conversions.msg_to_stamp(decoded.header.stamp), {})[name] = decoded
    assert all(len(parts) == len(types) for parts in list(arrived.values())[:-1])
    return arrived


def assert_same(arrived: dict, expected: Results) -> None:
    """The messages of one frame say what ``expected`` says."""
    close = {"rtol": 1e-3, "atol": 2e-3}
    detections = conversions.msg_to_detections(arrived["detections"])
    for name in ("centers", "sizes", "velocities", "scores", "class_ids", "attribute_ids"):
        np.testing.assert_allclose(getattr(detections, name), getattr(expected.detections, name), err_msg=name, **close)
    turn = np.exp(1j * detections.yaws) / np.exp(1j * expected.detections.yaws)
    np.testing.assert_allclose(turn, 1, **close)

    segments = conversions.msg_to_map_segments(arrived["map_segments"])
    assert len(segments) == len(expected.map.segments)
    for segment, reference in zip(segments, expected.map.segments, strict=True):
        assert (segment.map_class, segment.closed) == (reference.map_class, reference.closed)
        np.testing.assert_allclose(segment.points, reference.points, **close)
        np.testing.assert_allclose(segment.score, reference.score, **close)

    trajectories = conversions.msg_to_trajectories(arrived["trajectories"])
    order = np.argsort(-expected.trajectories.probabilities, axis=1, kind="stable")
    likeliest = np.take_along_axis(expected.trajectories.positions, order[:, :, None, None], axis=1)
    np.testing.assert_allclose(trajectories.positions, likeliest, **close)
    probabilities = np.take_along_axis(expected.trajectories.probabilities, order, axis=1)
    np.testing.assert_allclose(trajectories.probabilities, probabilities, **close)
    sigmas = np.take_along_axis(expected.trajectories.sigmas, order[:, :, None, None], axis=1)
    np.testing.assert_allclose(trajectories.sigmas, sigmas, **close)
    np.testing.assert_array_equal(trajectories.class_ids, expected.trajectories.class_ids)
    assert trajectories.time_step_s == expected.trajectories.time_step_s

    occupancy = conversions.msg_to_forecast(arrived["occupancy_forecast"])
    assert occupancy.grid.shape == expected.occupancy.grid.shape
    np.testing.assert_allclose(occupancy.probability, expected.occupancy.probability, atol=0.011)  # in per cent

    plan = conversions.msg_to_plan(arrived["plan"])
    for name in ("positions", "speeds", "raw_positions"):
        np.testing.assert_allclose(getattr(plan, name), getattr(expected.plan, name), err_msg=name, **close)
    np.testing.assert_allclose(np.exp(1j * plan.yaws), np.exp(1j * expected.plan.yaws), **close)
    assert plan.goal == expected.plan.goal
    assert plan.time_step_s == expected.plan.time_step_s

    now, grid = conversions.msg_to_occupancy(arrived["occupancy"])
    assert grid.shape == expected.occupancy.grid.shape
    np.testing.assert_allclose(now, expected.occupancy.probability[0], atol=0.011)
    path, _ = conversions.msg_to_path(arrived["path"])
    np.testing.assert_allclose(path, expected.plan.positions, **close)
