"""What goes wrong around a running node: it says so once, in one sentence, and lives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from node_under_test import START_NS, NodeUnderTest, ego_pose, frames_of, jpeg, results_of, start, wait_until
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from tinybev.types import CAMERAS, Frame
from tinybev_ros.conversions import msg_to_stamp


def lines_about(subject: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capfd.readouterr().err.splitlines() if f" {subject}: " in line]


def test_missing_camera_is_named_and_the_others_go_on(ros_domain: int, capfd: pytest.CaptureFixture[str]) -> None:
    with NodeUnderTest(ros_domain, {"stale_after": 0.1}) as test:
        start(test)
        results_of(test, 3, skip=("CAM_BACK",))
        assert (test.health("partial"), test.health("assembled"), test.health("inferred")) == ("3", "0", "3")
        wait_until(lambda: "cam_back" in test.health("missing_cameras").split(", "), "cam_back to be missing")
        assert test.health("cam_back.age_s") == ""
        topic = "/cam_back/image_rect_compressed"
        sentence = f"none for 0.1 s; expected CompressedImage on {topic}, frames go without it."
        for n in range(3, 100):  # the node looks for silent cameras once a second
            results_of(test, 1, first=n, skip=("CAM_BACK",))
            if test.health("problem.CAM_BACK images"):
                break
        assert test.health("problem.CAM_BACK images") == sentence
    assert len(lines_about("CAM_BACK images", capfd)) == 1


def test_silence_of_all_cameras_is_one_sentence(ros_domain: int, capfd: pytest.CaptureFixture[str]) -> None:
    with NodeUnderTest(ros_domain, {"stale_after": 0.1}) as test:
        start(test)
        wait_until(lambda: test.health("problem.images"), "the complaint")
        assert "none arrive; expected CompressedImage on /cam_front/image_rect_compressed and its like." in test.health(
            "problem.images"
        )
    assert len(lines_about("images", capfd)) == 1


def test_images_without_increasing_stamps_are_counted_and_complained_about_once(
    ros_domain: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with NodeUnderTest(ros_domain, {"stale_after": 0.1}) as test:
        start(test)

        def complaint() -> str:
            for camera in CAMERAS:
                test.rig.publish_image(camera, 0)
            return test.health("problem.synchronizer")

        told = wait_until(complaint, "the complaint")
        assert told.startswith("images arrive, and no frame for 1.6 s (")
        assert told.endswith("; expected the time of exposure in each header.stamp.")
        assert int(test.health("sync.duplicates")) > 6
        assert int(test.health("assembled")) + int(test.health("partial")) < 6
        revolutions = itertools.count(1)

        def settled() -> bool:
            test.rig.look(next(revolutions))
            return test.health("problem.synchronizer") == ""

        wait_until(settled, "the end of the complaint")
        duplicates = test.health("sync.duplicates")
        assert test.node.trigger_deactivate().name == "SUCCESS"
        assert test.health("sync.duplicates") == duplicates
    assert len(lines_about("synchronizer", capfd)) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (jpeg()[: len(jpeg()) // 3], "bytes without the end marker: it is cut off"),
        (b"", "expected a JPEG or PNG file, got 0 bytes"),
        (b"not a picture", "expected a JPEG or PNG file, got 13 bytes"),
    ],
)
def test_truncated_picture_leaves_its_camera_out(
    ros_domain: int, capfd: pytest.CaptureFixture[str], data: bytes, reason: str
) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        results_of(test, 2, data={"CAM_BACK": data})
        problem = test.health("problem.CAM_BACK picture")
        assert reason in problem
        assert problem.endswith("; the frame goes without it.")
        assert test.health("inferred") == "2"
        results_of(test, 1, first=2)
        assert test.health("problem.CAM_BACK picture") == ""
    assert len(lines_about("CAM_BACK picture", capfd)) == 1


def test_look_without_any_readable_picture_is_refused(ros_domain: int, capfd: pytest.CaptureFixture[str]) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        test.rig.look(0, data=dict.fromkeys(CAMERAS, b""))
        wait_until(lambda: test.health("refused") == "1", "the frame to be refused")
        results_of(test, 1, first=1)
    (line,) = lines_about("inference", capfd)
    assert "expected the image of at least one camera, none is usable" in line


def zeros(info: CameraInfo) -> None:
    info.k, info.p = np.zeros(9), np.zeros(12)


def test_calibration_of_zeros_is_refused_and_a_good_one_taken(
    ros_domain: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        results_of(test, 2, infos={"CAM_FRONT": zeros})
        assert [frame.missing for frame in frames] == [("CAM_FRONT",)] * 2
        assert test.health("problem.CAM_FRONT calibration").startswith(
            "its CameraInfo holds no pinhole matrix: expected k = "
        )
        results_of(test, 2, first=2)
        assert frames[-1].missing == ()
        assert test.health("problem.CAM_FRONT calibration") == ""
    assert len(lines_about("CAM_FRONT calibration", capfd)) == 1


def test_camera_without_calibration_says_what_was_expected(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        results_of(test, 1, infos={"CAM_FRONT": None})
        assert frames[0].missing == ("CAM_FRONT",)
        expected = "expected sensor_msgs/CameraInfo on /cam_front/camera_info, nothing came; publish it."
        assert test.health("problem.CAM_FRONT camera info") == expected


def test_camera_without_mounting_says_what_was_expected(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test, mountings=False)
        test.rig.publish_mountings(skip=("CAM_BACK",))
        frames = frames_of(test, monkeypatch)
        results_of(test, 1)
        assert frames[0].missing == ("CAM_BACK",)
        assert test.health("problem.CAM_BACK mounting").startswith(
            "expected a transform from base_link to cam_back on /tf_static or /tf, none came"
        )


def test_node_without_any_calibration_refuses_frames_and_lives(ros_domain: int) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test, mountings=False)
        test.rig.look(0)
        wait_until(lambda: test.health("refused") == "1", "the frame to be refused")
        test.rig.publish_mountings()
        results_of(test, 1, first=1)
        assert test.health("inferred") == "1"


def test_wrong_rectification_matrix_changes_nothing(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(info: CameraInfo) -> None:
        info.r = np.array([1.0, 0, 0, 1, 0, 0, 1, 0, 0])

    with NodeUnderTest(ros_domain) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        results_of(test, 1)
        results_of(test, 1, first=1, infos=dict.fromkeys(CAMERAS, wrong))
        assert geometry_of(frames[0]) == geometry_of(frames[1])


def geometry_of(frame: Frame) -> dict[str, tuple[bytes, bytes, tuple[int, int]]]:
    return {
        camera: (image.intrinsics.tobytes(), np.round(image.base_T_camera, 9).tobytes(), image.image_size)
        for camera, image in frame.images.items()
    }


def test_clock_that_jumps_back_starts_anew(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        results_of(test, 3, first=400)
        resets: list[int] = []
        pipeline = test.node._pipeline
        assert pipeline is not None
        reset = pipeline.reset
        monkeypatch.setattr(pipeline, "reset", lambda: (resets.append(1), reset()))
        frames = frames_of(test, monkeypatch)
        paths = results_of(test, 3, first=0)
        stamps = [msg_to_stamp(path.header.stamp) for path in paths]
        assert stamps[3] < stamps[0] < stamps[1] < stamps[2]
        assert stamps[3] < stamps[4] < stamps[5]
        assert len(resets) == 1
        np.testing.assert_allclose(frames[0].map_T_base, ego_pose(stamps[3]), atol=1e-6)


def test_frame_that_fails_does_not_end_the_node(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        pipeline = test.node._pipeline
        with monkeypatch.context() as patched:
            patched.setattr(pipeline, "infer", lambda decoded: 1 / 0)
            test.rig.look(0)
            wait_until(lambda: test.health("refused") == "1", "the frame to fail")
        results_of(test, 1, first=1)
    (line,) = lines_about("inference", capfd)
    assert "ZeroDivisionError" in line


def test_frame_without_any_pose_says_so_and_goes_on(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        frames = frames_of(test, monkeypatch)
        results_of(test, 2, poses=False)
        assert (frames[0].map_T_base, frames[0].ego) == (None, None)
        assert test.health("problem.ego pose").startswith("expected map to base_link on /tf, or odometry")


def test_broken_transform_is_ignored_with_a_sentence(ros_domain: int) -> None:
    with NodeUnderTest(ros_domain) as test:
        start(test)
        broken = TransformStamped(child_frame_id="cam_front")
        broken.header.frame_id = "base_link"
        broken.transform.rotation.w = 0.0
        test.rig.tf.publish(TFMessage(transforms=[broken]))
        subject = "problem.transform base_link -> cam_front"
        wait_until(lambda: test.health(subject), "the complaint")
        results_of(test, 1)
        assert test.health("inferred") == "1"
        test.rig.publish_mountings(static=False)
        wait_until(lambda: not test.health(subject), "the end of the complaint")


def test_odometry_that_is_no_number_leaves_the_plan_one(ros_domain: int, capfd: pytest.CaptureFixture[str]) -> None:
    with NodeUnderTest(ros_domain, {"ego_status": "always"}) as test:
        start(test)
        for n in range(-500, 1000, 50):
            test.rig.publish_odometry(START_NS + n * 1_000_000, speed=math.nan)
        wait_until(lambda: test.health("problem.odometry twist"), "the complaint")
        (path,) = results_of(test, 1)
        assert len(path.poses) > 1
        assert all(math.isfinite(pose.pose.position.x + pose.pose.position.y) for pose in path.poses)
        test.rig.publish_odometry(START_NS + 1_000_000_000)
        wait_until(lambda: not test.health("problem.odometry twist"), "the end of the complaint")
    assert len(lines_about("odometry twist", capfd)) == 1
