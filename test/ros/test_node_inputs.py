"""The ways in which images, calibration and poses may come: other names, raw images, transforms late or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from node_under_test import (
    PATH,
    START_NS,
    NodeUnderTest,
    ego_pose,
    frames_of,
    mounting,
    results_of,
    revolution_start,
    start,
    wait_until,
)
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from tinybev.phases import NUSCENES_RIG
from tinybev.runtime.preprocess import DecodedFrame
from tinybev.types import CAMERAS, Frame
from tinybev_ros.node import TinybevNode
from tinybev_ros.topics import camera_image_topic, camera_info_topic


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_images_are_received_as_reliably_as_asked_for(ros_domain: int, reliability: str) -> None:
    with NodeUnderTest(ros_domain, {"image_reliability": reliability}) as test:
        start(test)
        (endpoint,) = test.other.get_subscriptions_info_by_topic(camera_image_topic("CAM_FRONT"))
        assert endpoint.qos_profile.reliability == ReliabilityPolicy[reliability.upper()]
        results_of(test, 1)


def test_images_are_decoded_while_the_last_one_of_their_set_is_awaited(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NodeUnderTest(ros_domain, {"sync_max_wait": 2.0}) as test:
        start(test)
        results_of(test, 8)  # until the rig is known and no set waits
        pipeline = test.node._pipeline
        assert pipeline is not None
        decode_image, decode, decoded, early = pipeline.decode_image, pipeline.decode, list[bytes](), list[set[str]]()

        def decoding_image(data: bytes) -> np.ndarray:
            decoded.append(data)
            return decode_image(data)

        def decoding(frame: Frame, **how: Any) -> DecodedFrame:
            early.append(set(how["early"]))
            return decode(frame, **how)

        monkeypatch.setattr(pipeline, "decode_image", decoding_image)
        monkeypatch.setattr(pipeline, "decode", decoding)
        last = max(CAMERAS, key=NUSCENES_RIG.phases_ns.__getitem__)
        stamp_ns = revolution_start(8) + NUSCENES_RIG.phases_ns[last]
        test.rig.look(8, skip=(last,))
        wait_until(lambda: len(decoded) == len(CAMERAS) - 1, "the images that are there")
        assert not early  # the set is not complete
        test.rig.publish_image(last, stamp_ns)
        test.listener.wait_for(PATH, 9)
        assert early[0] >= set(CAMERAS) - {last}
        assert float(test.health("early.p95_ms")) > 0


def test_raw_images_under_other_names_and_mountings_on_tf(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {
        "image_transport": "raw",
        "image_topic": "/{CAMERA}/image_raw",
        "camera_info_topic": "/{CAMERA}/camera_info",
        "camera_frame": "{CAMERA}",
    }
    with NodeUnderTest(ros_domain, parameters, raw=True, upper=True) as test:
        start(test, mountings=False)
        frames = frames_of(test, monkeypatch)
        test.rig.publish_mountings(static=False)
        wait_until(lambda: mountings_known(test), "the mountings")
        results_of(test, 1)
        for camera, image in frames[0].images.items():
            np.testing.assert_allclose(image.base_T_camera, mounting(camera), atol=1e-9)
            assert isinstance(image.image, np.ndarray)
        assert frames[0].missing == ()


def mountings_known(test: NodeUnderTest) -> bool:
    transforms = test.node._inputs.transforms  # type: ignore[union-attr]
    return all(transforms.connected("base_link", name) for name in test.rig.names.values())


def test_inputs_of_other_names_in_a_namespace_are_told_as_they_are_subscribed_to(ros_domain: int) -> None:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    parameters = {
        "bundle": "untrained:nano",
        "stale_after": 0.1,
        "image_topic": "front/image, front_right, back_right, /back/image, back_left, front_left",
        "camera_info_topic": "{camera}/info",
        "odometry_topic": "wheels/odom",
        "goal_topic": "~/goal",
    }
    remappings = ["/car1/front/image:=/swapped", "/swapped:=/car1/front/image", "/tf:=tf"]
    node = TinybevNode(
        context=context,
        namespace="/car1",
        parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
        cli_args=["--ros-args", *(part for rule in remappings for part in ("-r", rule))],
    )
    try:
        assert node.trigger_configure().name == "SUCCESS"
        assert node.trigger_activate().name == "SUCCESS"
        topics = {subscription.topic_name for subscription in node.subscriptions}
        expected = {"/swapped", "/car1/front_right", "/back/image", "/car1/cam_back/info", "/car1/wheels/odom"}
        assert expected | {"/car1/tinybev/goal", "/car1/tf", "/tf_static"} <= topics

        def told() -> str:
            node._on_timer()
            return node._complaints.open().get("images", "")

        assert wait_until(told, "the complaint") == "none arrive; expected CompressedImage on /swapped and its like."
        node.trigger_shutdown()
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize("before", [True, False])
def test_calibration_that_was_said_once_and_kept_is_received(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

    def say(test: NodeUnderTest) -> None:
        for camera, publisher in test.rig.infos.items():
            test.other.destroy_publisher(publisher)
            test.rig.infos[camera] = test.other.create_publisher(CameraInfo, camera_info_topic(camera), latched)
            test.rig.publish_info(camera, START_NS)

    with NodeUnderTest(ros_domain) as test:
        if before:
            say(test)
        start(test)
        if not before:
            say(test)
        calibrations = test.node._calibrations
        wait_until(lambda: all(calibrations.wait_for(camera, 0.0) for camera in CAMERAS), "the calibrations")
        frames = frames_of(test, monkeypatch)
        results_of(test, 1, infos=dict.fromkeys(CAMERAS))
        assert frames
        assert not [subject for subject in test.node._complaints.open() if subject.endswith("camera info")]


def test_calibration_outlasts_deactivation_and_not_cleanup(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        results_of(test, 1)
        assert test.node.trigger_deactivate().name == "SUCCESS"
        assert test.node.trigger_activate().name == "SUCCESS"
        test.rig.wait_for_node()
        wait_until(lambda: mountings_known(test), "the mountings")
        frames = frames_of(test, monkeypatch)
        results_of(test, 1, first=1, infos=dict.fromkeys(CAMERAS))
        assert frames
        assert test.node.trigger_deactivate().name == "SUCCESS"
        assert test.node.trigger_cleanup().name == "SUCCESS"
        assert test.node.trigger_configure().name == "SUCCESS"
        assert test.node._calibrations.wait_for("CAM_FRONT", 0.0) is None
    # Whoever is asked for more than it offers would log that.
    assert "incompatible QoS" not in capfd.readouterr().err


def test_mountings_from_a_file(ros_domain: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    lines = ["base_link:"]
    for camera in CAMERAS:
        x, y, z = mounting(camera)[:3, 3]
        lines.append(f"  {camera.lower()}: {{translation: [{x}, {y}, {z}], rotation: [-0.5, 0.5, -0.5, 0.5]}}")
    path.write_text("\n".join(lines))
    with NodeUnderTest(ros_domain, {"calibration_file": str(path)}) as test:
        start(test, mountings=False)
        frames = frames_of(test, monkeypatch)
        results_of(test, 1)
        assert frames[0].missing == ()


def test_odometry_stands_in_for_the_transform_tree(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        for n in range(0, 1000, 50):
            test.rig.publish_odometry(START_NS + n * 1_000_000)
        wait_until(lambda: test.node._inputs.ego.status(START_NS) is not None, "odometry")  # type: ignore[union-attr]
        results_of(test, 1, poses=False)
        for image in frames[0].images.values():
            np.testing.assert_allclose(image.map_T_base, ego_pose(image.stamp_ns), atol=1e-6)
        assert frames[0].ego is not None


def test_odometry_stands_in_when_the_transform_tree_stops(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        results_of(test, 1)
        later = 40  # two seconds on: too far to be extrapolated
        for n in range(50 * later - 500, 50 * later + 500, 50):
            test.rig.publish_odometry(START_NS + n * 1_000_000)
        newest_ns = START_NS + (50 * later + 450) * 1_000_000
        wait_until(lambda: test.node._inputs.ego.status(newest_ns) is not None, "odometry")  # type: ignore[union-attr]
        results_of(test, 1, first=later, poses=False)
        for image in frames[1].images.values():
            np.testing.assert_allclose(image.map_T_base, ego_pose(image.stamp_ns), atol=1e-6)
        assert test.health("problem.ego pose") == ""


def test_pose_that_comes_after_its_images_is_waited_for(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain, {"input_wait": 2.0, "sync_max_wait": 2.0}) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        first_ns = test.rig.look(0)
        wait_until(lambda: frames, "the first frame")
        stamp_ns = test.rig.look(40, poses=False)  # two seconds on: too far to be extrapolated
        wait_until(lambda: test.health("assembled") == "2", "the second set")
        test.rig.publish_pose(stamp_ns + 1_000_000)
        wait_until(lambda: len(frames) == 2, "the second frame")
        assert stamp_ns > first_ns
        np.testing.assert_allclose(frames[1].map_T_base, ego_pose(stamp_ns), atol=1e-6)


def test_calibration_that_comes_after_its_images_is_waited_for(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NodeUnderTest(ros_domain, {"input_wait": 2.0, "sync_max_wait": 2.0}) as test:
        start(test, mountings=False)
        frames = frames_of(test, monkeypatch)
        stamp_ns = test.rig.look(0, infos=dict.fromkeys(CAMERAS), poses=False)
        wait_until(lambda: test.health("assembled") == "1", "the set")
        test.rig.publish_pose(stamp_ns - 50_000_000)
        test.rig.publish_pose(stamp_ns)
        test.rig.publish_mountings()
        for camera in CAMERAS:
            test.rig.publish_info(camera, stamp_ns)
        wait_until(lambda: frames, "the frame")
        assert frames[0].missing == ()
        assert frames[0].map_T_base is not None
