"""The node's transitions: what it refuses and with which sentence, what it listens to when, how its process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_under_test import NodeUnderTest, wait_until
from rclpy.context import Context
from rclpy.parameter import Parameter

from tinybev.errors import UserError
from tinybev.runtime.bundle import MANIFEST_FILE, load_bundle, save_bundle
from tinybev_ros import diagnostics
from tinybev_ros.node import TinybevNode
from tinybev_ros.topics import camera_image_topic

ROOT = Path(__file__).resolve().parents[2]


def listens_to(test: NodeUnderTest, topic: str) -> bool:
    endpoints = test.other.get_subscriptions_info_by_topic(topic)
    return any(endpoint.node_name == "tinybev" for endpoint in endpoints)


def test_node_listens_while_active_and_holds_weights_while_configured(ros_domain: int) -> None:
    front = camera_image_topic("CAM_FRONT")
    with NodeUnderTest(ros_domain) as test:
        node = test.node
        assert test.health("state") == "unconfigured"
        assert node.trigger_configure().name == "SUCCESS"
        assert test.health("state") == "inactive"
        assert test.health("name")
        assert not listens_to(test, front)
        for _ in range(2):
            assert node.trigger_activate().name == "SUCCESS"
            wait_until(lambda: listens_to(test, front), "the subscription")
            assert node.trigger_deactivate().name == "SUCCESS"
            wait_until(lambda: not listens_to(test, front), "its end")
            assert test.health("state") == "inactive"
        assert node.trigger_cleanup().name == "SUCCESS"
        assert (test.health("state"), test.health("name")) == ("unconfigured", "")
        wait_until(lambda: test.other.count_publishers("/tinybev/detections") == 0, "the end of the publishers")
        assert node.trigger_configure().name == "SUCCESS"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"score_treshold": 0.5}, "parameter 'score_treshold' is unknown: did you mean 'score_threshold'?"),
        ({"score_threshold": 1.5}, "parameter 'score_threshold': expected 0 to 1, got 1.5; correct it."),
        ({"threads": "many"}, "parameter 'threads': expected an integer, got 'many'; correct it."),
        ({"sync_phases": "0,1"}, "parameter 'sync_phases': expected 'learn' or 6 times"),
        ({"calibration_file": "/absent.yaml"}, "parameter 'calibration_file': /absent.yaml cannot be read"),
        ({"bundle": "/absent"}, "/absent"),
        ({"image_topic": "/cam/image"}, "parameter 'image_topic': expected {camera} or {CAMERA} in it"),
        ({"image_topic": "/bad topic/{camera}"}, "'image_topic': '/bad topic/cam_front' is no topic name: topic name"),
        ({"camera_info_topic": "/{camera}//info"}, "'camera_info_topic': '/cam_front//info' is no topic name: "),
        ({"image_topic": "/a,/b,/c,/d,/e,/f f"}, "'image_topic': '/f f' is no topic name: "),
        ({"odometry_topic": "/odom?"}, "parameter 'odometry_topic': '/odom?' is no topic name: "),
        ({"goal_topic": ""}, "parameter 'goal_topic': '' is no topic name: "),
    ],
)
def test_configure_refuses_in_one_sentence(
    ros_domain: int, capfd: pytest.CaptureFixture[str], parameters: dict[str, Any], sentence: str
) -> None:
    with NodeUnderTest(ros_domain, parameters) as test:
        assert test.node.trigger_configure().name == "FAILURE"
        assert test.health("state") == "unconfigured"
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "cannot configure" in line]
    assert sentence in line


@pytest.mark.parametrize(
    ("entry", "value", "sentence"),
    [
        ("sha256", "0" * 64, "weights.safetensors: expected sha256 000000000000"),
        ("detection_classes", ["car"], "expected detection_classes ['car', 'truck', "),
        ("format_version", 99, "expected format_version 1, got 99"),
    ],
)
def test_bundle_whose_manifest_disagrees_is_refused(
    ros_domain: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], entry: str, value: object, sentence: str
) -> None:
    folder = tmp_path / "bundle"
    save_bundle(load_bundle("untrained:nano:1"), folder)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest | {entry: value}))
    with NodeUnderTest(ros_domain, {"bundle": str(folder)}) as test:
        assert test.node.trigger_configure().name == "FAILURE"
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
        assert test.node.trigger_configure().name == "SUCCESS"
        assert test.health("sha256") == manifest["sha256"]
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "cannot configure" in line]
    assert sentence in line


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("score_threshold", 1.5, 0.5),
        ("score_threshold", 2, 0.5),
        ("threads", "many", 2),
        ("bundle", 7, "untrained:nano"),
    ],
)
def test_refused_parameter_can_be_corrected(ros_domain: int, name: str, wrong: object, right: object) -> None:
    with NodeUnderTest(ros_domain, {name: wrong}) as test:
        assert test.node.trigger_configure().name == "FAILURE"
        for value, successful in ((wrong, False), (None, False), (right, True)):
            (result,) = test.node.set_parameters([Parameter(name, value=value)])
            assert result.successful == successful
        assert test.node.trigger_configure().name == "SUCCESS"
        assert getattr(test.node._config, name) == right


@pytest.mark.parametrize("part", ["inputs.RevolutionSynchronizer", "node.FrameBuilder", "node.Worker.start"])
@pytest.mark.parametrize(
    ("error", "result", "state"), [(UserError, "FAILURE", "inactive"), (OSError, "ERROR", "unconfigured")]
)
def test_activation_that_fails_leaves_nothing_behind(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch, part: str, error: type[Exception], result: str, state: str
) -> None:
    def fail(*_: object) -> None:
        raise error("on purpose")

    with NodeUnderTest(ros_domain) as test:
        before = len(list(test.node.subscriptions))
        threads = set(threading.enumerate())
        for _ in range(2):
            with monkeypatch.context() as broken:
                broken.setattr(f"tinybev_ros.{part}", fail)
                if test.node.state == "unconfigured":
                    assert test.node.trigger_configure().name == "SUCCESS"
                assert test.node.trigger_activate().name == result
            assert test.health("state") == state
            assert len(list(test.node.subscriptions)) == before
        assert not set(threading.enumerate()) - threads
        if state == "unconfigured":
            assert test.node.trigger_configure().name == "SUCCESS"
        assert test.node.trigger_activate().name == "SUCCESS"


def test_two_vehicles_have_diagnostics_of_different_names(ros_domain: int) -> None:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    nodes = [TinybevNode(context=context, namespace=namespace) for namespace in ("", "/front_car", "/rear_car")]
    frames = [node.diagnostics().status[1].name for node in nodes]
    assert frames == ["tinybev: frames", "front_car/tinybev: frames", "rear_car/tinybev: frames"]
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_integer_is_taken_for_a_number(ros_domain: int) -> None:
    with NodeUnderTest(ros_domain, {"score_threshold": 1}) as test:
        assert test.node.get_parameter("score_threshold").value == 1.0
        assert test.node.trigger_configure().name == "SUCCESS"


def test_configured_node_changes_only_what_may_change(ros_domain: int) -> None:
    with NodeUnderTest(ros_domain) as test:
        assert test.node.trigger_configure().name == "SUCCESS"
        for name, value, reason in (
            ("score_threshold", 0.5, "parameter 'score_threshold' is read at configure"),
            ("command", "backward", "parameter 'command': expected one of auto, left, right, forward"),
        ):
            (result,) = test.node.set_parameters([Parameter(name, value=value)])
            assert not result.successful
            assert reason in result.reason
        (result,) = test.node.set_parameters([Parameter("command", value="left")])
        assert result.successful
        assert test.node.trigger_cleanup().name == "SUCCESS"
        (result,) = test.node.set_parameters([Parameter("score_threshold", value=0.5)])
        assert result.successful


def process(domain: int, *arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "tinybev_ros.node", "--ros-args", *arguments],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_process_with_an_unknown_parameter_ends_with_one_sentence(ros_domain: int) -> None:
    running = process(ros_domain, "-p", "score_treshold:=0.5")
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    (line,) = [line for line in errors.splitlines() if "[ERROR]" in line]
    assert "cannot configure: parameter 'score_treshold' is unknown: did you mean 'score_threshold'?" in line
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--params-file", "broken.yaml"), "Couldn't parse params file: '--params-file broken.yaml'"),
        (("--params-file", "/absent.yaml"), "Error opening YAML file"),
        (("-r", "__node:=tiny-bev"), "Couldn't parse remap rule: '-r __node:=tiny-bev'"),
        (("-r", f"__node:={300 * 'a'}"), "node name length should not exceed '255'"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_process_whose_arguments_ros_cannot_take_ends_with_one_sentence(
    ros_domain: int, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "broken.yaml").write_text("tinybev: [1\n  threads: 2\n")
    running = process(ros_domain, *arguments, folder=tmp_path)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "Traceback" not in errors
    line = errors.splitlines()[-1]  # rcl may have logged before it
    assert line.startswith("tinybev: cannot start: ")
    assert reason in line
    assert line.endswith("; correct the arguments after --ros-args.")


def states(test: NodeUnderTest) -> list[str]:
    told = [status for array in test.listener.messages[diagnostics.TOPIC] for status in array.status]
    return [pair.value for status in told for pair in status.values if pair.key == diagnostics.STATE]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_process_starts_from_its_parameter_file_and_ends_on_a_signal(ros_domain: int, signum: int) -> None:
    running = process(ros_domain, "--params-file", str(ROOT / "config" / "tinybev.yaml"))
    try:
        with NodeUnderTest(ros_domain) as test:  # stays unconfigured: only its ears are used
            test.listener.listen(diagnostics.TOPIC, DiagnosticArray)
            # What is said before the middleware has matched the listener is not heard, so wait to hear something.
            wait_until(lambda: "active" in states(test) or running.poll() is not None, "the process to be active")
            running.send_signal(signum)
            _, errors = running.communicate(timeout=60)
            wait_until(lambda: "inactive" in states(test), "its last word")
    finally:
        running.kill()
    assert running.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("shut_down", [False, True])
def test_process_without_autostart_waits_for_a_lifecycle_manager(ros_domain: int, shut_down: bool) -> None:
    transitions = [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE]
    transitions += [Transition.TRANSITION_ACTIVE_SHUTDOWN] if shut_down else []
    running = process(ros_domain, "-p", "autostart:=false", "-r", "__node:=tinybev_under_manager")
    try:
        with NodeUnderTest(ros_domain) as test:  # stays unconfigured: only its ears are used
            manager = test.other.create_client(ChangeState, "/tinybev_under_manager/change_state")
            assert manager.wait_for_service(timeout_sec=60.0)
            for transition in transitions:
                answer = manager.call(ChangeState.Request(transition=Transition(id=transition)), timeout_sec=60.0)
                assert answer is not None
                assert answer.success
        if not shut_down:  # a node that was shut down ends its process by itself
            running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0, errors
    assert "Traceback" not in errors
