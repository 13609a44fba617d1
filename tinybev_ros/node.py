"""The lifecycle node ``tinybev``: configure loads the weights, activate subscribes; the work is done elsewhere.

Six cameras arrive in ``inputs``, are synchronized, and go to the one thread of ``worker``, which builds a frame, runs
the pipeline and publishes through ``outputs``. With the parameter ``autostart`` the node takes itself to active.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from tinybev.config import NodeConfig, pipeline_options, sync_options
from tinybev.errors import UserError
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.pipeline import Pipeline
from tinybev_ros import diagnostics, parameters
from tinybev_ros.calibrations import Calibrations
from tinybev_ros.complaints import Complaints
from tinybev_ros.fixed_transforms import FixedTransform, load_fixed_transforms
from tinybev_ros.frame_builder import FrameBuilder
from tinybev_ros.inputs import COMMAND_PARAMETER, Inputs, resolved_topics
from tinybev_ros.outputs import Publishers
from tinybev_ros.refused_arguments import refused_as_user_error
from tinybev_ros.statistics import Statistics
from tinybev_ros.topics import NODE
from tinybev_ros.worker import Worker

DIAGNOSTICS_PERIOD_S = 1.0
LAST_WORD_TIMEOUT = Duration(seconds=1)
UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"


class TinybevNode(LifecycleNode):
    """Wires inputs, worker and outputs to the lifecycle.

    Args:
        options: what ``rclpy.node.Node`` takes, such as ``context`` and ``parameter_overrides``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(NODE, automatically_declare_parameters_from_overrides=True, **options)
        parameters.declare(self)
        self.state = UNCONFIGURED
        self._config = NodeConfig()
        self._fixed_transforms: tuple[FixedTransform, ...] = ()
        self._calibrations = Calibrations()
        self._pipeline: Pipeline | None = None
        self._outputs: Publishers | None = None
        self._inputs: Inputs | None = None
        self._worker: Worker | None = None
        self._statistics = Statistics()
        self._complaints = Complaints(self.get_logger().warning)
        self._diagnostics = self.create_publisher(DiagnosticArray, diagnostics.TOPIC, 10)
        wall_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._on_timer, clock=wall_clock)
        self.add_on_set_parameters_callback(
            lambda changes: parameters.check_set(changes, configured=self._pipeline is not None)
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Checks the parameters and loads the weights."""
        return self._attempt("configure", self._configure, state, super().on_configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes and starts to infer."""
        return self._attempt("activate", self._activate, state, super().on_activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribes; the weights stay loaded."""
        self._deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Frees the weights."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends whatever runs."""
        self._deactivate()
        self._free()
        self.state = FINALIZED
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self._deactivate()
        self._free()
        return super().on_error(state)

    def publish_diagnostics(self) -> None:
        """Publishes :meth:`diagnostics`."""
        self._diagnostics.publish(self.diagnostics())

    def diagnostics(self) -> DiagnosticArray:
        """The node's health now."""
        health = diagnostics.Health(
            node=self.get_fully_qualified_name().removeprefix("/"),
            state=self.state,
            snapshot=self._statistics.snapshot(),
            complaints=self._complaints.open(),
            weights=self._pipeline.weights if self._pipeline else None,
            device=self._pipeline.device if self._pipeline else "",
            stale_after_s=self._config.stale_after,
            backend=self._pipeline.backend if self._pipeline else "",
        )
        return diagnostics.health_to_msg(health, self.get_clock().now().nanoseconds)

    def _on_timer(self) -> None:
        if self._inputs is not None:
            self._inputs.look_for_latched()
            self._inputs.check_arrival(self._statistics.snapshot())
        self.publish_diagnostics()

    def _configure(self) -> None:
        config = parameters.read(self)
        sync_options(config)
        resolved_topics(self, config)
        fixed = load_fixed_transforms(Path(config.calibration_file)) if config.calibration_file else ()
        pipeline = Pipeline(load_bundle(config.bundle), pipeline_options(config))
        weights = pipeline.weights
        self.get_logger().info(
            f"weights {weights.name}, trained on {weights.trained_on}, on {pipeline.device} with {pipeline.backend}"
        )
        self._config, self._fixed_transforms, self._pipeline = config, fixed, pipeline
        self._calibrations = Calibrations()  # here, as they outlast deactivation: many cameras say theirs once
        self._outputs = Publishers(self, config.base_frame)
        self.state = INACTIVE

    def _activate(self) -> None:
        assert self._pipeline is not None
        assert self._outputs is not None
        self._statistics = Statistics()
        self._complaints = Complaints(self.get_logger().warning)
        with ExitStack() as undo:
            undo.callback(self._end_work)
            self._inputs = Inputs(
                self, self._config, self._calibrations, self._fixed_transforms, self._statistics, self._complaints
            )
            self._inputs.look_for_latched()
            builder = FrameBuilder(
                self._config,
                self._inputs.topics,
                self._inputs.transforms,
                self._inputs.ego,
                self._inputs.goal,
                self._calibrations,
                lambda: str(self.get_parameter(COMMAND_PARAMETER).value),
                self._complaints,
            )
            self._worker = Worker(
                builder,
                self._pipeline,
                self._outputs,
                self._statistics,
                self._complaints,
                now_ns=lambda: int(self.get_clock().now().nanoseconds),
            )
            self._worker.start()
            self._inputs.on_image(self._worker.expect)
            self._inputs.on_set(self._worker.hand_over)
            undo.pop_all()
        self.state = ACTIVE

    def _deactivate(self) -> None:
        if self.state != ACTIVE:
            return
        self._end_work()
        self.state = INACTIVE
        self.publish_diagnostics()  # the last word, for whoever sums up a recording
        self._diagnostics.wait_for_all_acked(LAST_WORD_TIMEOUT)

    def _end_work(self) -> None:
        """Closes the inputs, then the worker, whichever there are, the one also where the other fails."""
        inputs, worker = self._inputs, self._worker
        self._inputs = self._worker = None
        with ExitStack() as ending:  # last in, first out
            if worker is not None:
                ending.callback(worker.stop)
            if inputs is not None:
                ending.callback(inputs.close)

    def _free(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        self._pipeline = None
        self.state = UNCONFIGURED

    def _attempt(
        self,
        what: str,
        action: Callable[[], None],
        state: LifecycleState,
        parent: Callable[[LifecycleState], TransitionCallbackReturn],
    ) -> TransitionCallbackReturn:
        """Runs ``action``; a UserError refuses the transition with its sentence, a defect of ours is logged whole."""
        try:
            action()
        except UserError as error:
            self.get_logger().error(f"cannot {what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would swallow it
            self.get_logger().error(f"cannot {what}:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return parent(state)


def autostart(node: TinybevNode) -> bool:
    """Takes the node to active; whether it got there."""
    success = TransitionCallbackReturn.SUCCESS
    return node.trigger_configure() == success and node.trigger_activate() == success


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node until SIGINT, SIGTERM or the transition to finalized.

    Returns 1 where ``autostart`` is on and the node refuses to start, 2 where ROS cannot take the arguments.
    """
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    try:
        with refused_as_user_error():
            # Our own handlers: rclpy's would shut the context down before the node has said its last word.
            rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
            node = TinybevNode()
    except UserError as error:
        print(f"{NODE}: {error}", file=sys.stderr)
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value is not False and not autostart(node):
            return 1
        while not stopping and rclpy.ok() and node.state != FINALIZED:
            executor.spin_once(timeout_sec=0.2)
        if node.state != FINALIZED:
            node.trigger_shutdown()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
