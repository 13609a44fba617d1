"""A frame goes in through real topics and five outputs come out: their stamps, frames, contents and weights."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid, Path
from node_under_test import SPEED_MPS, NodeUnderTest, ego_pose, frames_of, revolution_start, wait_until
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from tinybev.types import CAMERAS, Command
from tinybev_ros import msg as msgs
from tinybev_ros.conversions import header_to_msg, msg_to_path, msg_to_plan, msg_to_stamp, pose_to_msg
from tinybev_ros.markers import UNTRAINED_TEXT
from tinybev_ros.outputs import OUTPUTS

MODEL_TOPICS = {
    "/tinybev/detections": msgs.DetectedObjects,
    "/tinybev/map_segments": msgs.MapSegments,
    "/tinybev/trajectories": msgs.PredictedTrajectories,
    "/tinybev/occupancy_forecast": msgs.OccupancyForecast,
    "/tinybev/plan": msgs.PlannedTrajectory,
}
STANDARD_TOPICS = {"/tinybev/occupancy": OccupancyGrid, "/tinybev/path": Path}
MARKER_TOPICS = tuple(f"/tinybev/{name}/markers" for name in ("detections", "map_segments", "trajectories", "plan"))


def test_one_look_around_becomes_every_output_with_the_stamp_of_its_newest_image(ros_domain: int) -> None:
    with NodeUnderTest(ros_domain) as test:
        for topic, message_type in (MODEL_TOPICS | STANDARD_TOPICS).items():
            test.listener.listen(topic, message_type)
        for topic in MARKER_TOPICS:
            test.listener.listen(topic, MarkerArray)
        test.start()
        test.rig.publish_mountings()
        stamp_ns = test.rig.look(0)
        received = {topic: test.listener.wait_for(topic)[0] for topic in test.listener.messages}
        for topic in MODEL_TOPICS | STANDARD_TOPICS:
            header = received[topic].header
            assert (msg_to_stamp(header.stamp), header.frame_id) == (stamp_ns, "base_link"), topic
        for topic in MODEL_TOPICS:
            model = received[topic].model
            assert not model.trained
            assert model.trained_on.startswith("nothing (untrained")
            assert len(model.sha256) == 64
        for topic in MARKER_TOPICS:
            texts = [marker.text for marker in received[topic].markers]
            assert UNTRAINED_TEXT in texts
        agents = received["/tinybev/trajectories"].trajectories
        objects = received["/tinybev/detections"].objects
        assert [agent.track_id for agent in agents] == [thing.track_id for thing in objects]
        forecast, now = received["/tinybev/occupancy_forecast"], received["/tinybev/occupancy"]
        cells = now.info.width * now.info.height
        assert np.array_equal(forecast.data[:cells], now.data)
        assert len(forecast.data) == len(forecast.instances) == forecast.steps * cells
        plan = msg_to_plan(received["/tinybev/plan"])
        np.testing.assert_array_equal(msg_to_path(received["/tinybev/path"])[0], plan.positions)
        assert (test.health("assembled"), test.health("inferred"), test.health("dropped")) == ("1", "1", "0")
        assert float(test.health("total.p50_ms")) > 0


def test_topics_are_those_of_the_table() -> None:
    topics = {output.topic.replace("~", "/tinybev") for output in OUTPUTS}
    assert topics == {*MODEL_TOPICS, *STANDARD_TOPICS, *MARKER_TOPICS}


def test_the_lines_of_the_map_are_asked_for_by_the_topics_that_say_them() -> None:
    asking = {output.topic for output in OUTPUTS if output.map_segments}
    assert asking == {"~/map_segments", "~/map_segments/markers"}


def test_nothing_is_built_that_nobody_listens_to(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    with NodeUnderTest(ros_domain) as test:
        assert test.node.trigger_configure().name == "SUCCESS"
        outputs = test.node._outputs._publishers  # type: ignore[union-attr]
        for n, (output, publisher) in enumerate(outputs):
            counting = type(output)(
                output.topic, output.message_type, lambda r, h, o=output: (built.append(o.topic), o.build(r, h))[1]
            )
            outputs[n] = (counting, publisher)
        assert test.node.trigger_activate().name == "SUCCESS"
        test.rig.wait_for_node()
        test.listener.listen("/tinybev/path", Path)
        wait_until(lambda: test.node.count_subscribers("/tinybev/path"), "the listener")
        test.rig.publish_mountings()
        test.rig.look(0)
        test.listener.wait_for("/tinybev/path")
        wait_until(lambda: test.health("inferred") == "1", "the end of the frame")
    assert built == ["~/path"]


def test_goal_pose_and_command_reach_the_plan(ros_domain: int) -> None:
    with NodeUnderTest(ros_domain) as test:
        test.listener.listen("/tinybev/plan", msgs.PlannedTrajectory)
        test.start()
        test.rig.publish_mountings()
        first_ns = test.rig.look(0)
        plan = test.listener.wait_for("/tinybev/plan")[0]
        assert (plan.command, plan.has_goal) == (Command.FORWARD, False)

        goal = PoseStamped(header=header_to_msg(first_ns, "map"), pose=pose_to_msg((20.0, 30.0), 0.0))
        test.rig.goal.publish(goal)
        stamp_ns = follow(test, 10, lambda plan: plan.has_goal)
        plan = test.listener.messages["/tinybev/plan"][-1]
        driven = ego_pose(msg_to_stamp(plan.header.stamp))[0, 3]
        assert (plan.goal.x, plan.goal.y) == pytest.approx((20.0 - driven, 30.0))
        assert plan.command == Command.LEFT
        assert stamp_ns > first_ns

        test.rig.command.publish(String(data="right"))
        follow(test, 50, lambda plan: plan.command == Command.RIGHT)
        assert test.node.get_parameter("command").value == "right"
        test.rig.command.publish(String(data="backward"))
        test.rig.command.publish(String(data="forward"))
        follow(test, 90, lambda plan: plan.command == Command.FORWARD)


def follow(test: NodeUnderTest, revolution: int, condition: object) -> int:
    """Looks around until a plan fulfils a condition; the stamp of the last look."""
    plans = test.listener.messages["/tinybev/plan"]
    for n in range(revolution, revolution + 30):
        before = len(plans)
        stamp_ns = test.rig.look(n)
        test.listener.wait_for("/tinybev/plan", before + 1)
        if condition(plans[-1]):  # type: ignore[operator]
            return stamp_ns
    raise AssertionError("no plan fulfilled the condition")


def test_results_come_in_order_and_what_the_worker_has_no_time_for_is_counted(ros_domain: int) -> None:
    looks = 12
    with NodeUnderTest(ros_domain) as test:
        test.listener.listen("/tinybev/path", Path)
        test.start()
        test.rig.publish_mountings()
        for n in range(looks):
            test.rig.look(n)

        def all_accounted_for() -> bool:
            fates = [int(test.health(key)) for key in ("inferred", "dropped", "refused")]
            return int(test.health("assembled")) == looks and sum(fates) == looks

        wait_until(all_accounted_for, "every look to be inferred or dropped")
        inferred = int(test.health("inferred"))
        paths = test.listener.wait_for("/tinybev/path", inferred)
        stamps = [msg_to_stamp(path.header.stamp) for path in paths]
        assert len(paths) == inferred
        assert stamps == sorted(set(stamps))
        assert test.health("partial") == "0"
        assert all(float(test.health(f"{camera.lower()}.rate_hz")) > 0 for camera in CAMERAS)


def test_motion_of_the_vehicle_reaches_the_frame(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with NodeUnderTest(ros_domain) as test:
        test.start()
        frames = frames_of(test, monkeypatch)
        test.rig.publish_mountings()
        for n in range(-20, 0):
            test.rig.publish_pose(revolution_start(n))
        stamp_ns = test.rig.look(0)
        (frame,) = wait_until(lambda: frames, "the frame")
        assert frame.stamp_ns == stamp_ns
        assert frame.ego.speed_mps == pytest.approx(SPEED_MPS)
        for image in frame.images.values():
            np.testing.assert_allclose(image.map_T_base, ego_pose(image.stamp_ns), atol=1e-6)
        np.testing.assert_allclose(frame.map_T_base, ego_pose(stamp_ns), atol=1e-6)
        assert len({image.stamp_ns for image in frame.images.values()}) == len(CAMERAS)
