"""A set of camera messages -> a ``Frame``: calibration, poses, motion and goal are put to the images.

Runs on the worker's thread, where it may wait ``input_wait`` for a calibration or a pose that arrives after its image.
What was waited for in vain is complained about, and not waited for again while the complaint is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from tinybev.camera_names import camera_names
from tinybev.config import NodeConfig
from tinybev.errors import UserError
from tinybev.frames import CameraSet
from tinybev.geometry import Array
from tinybev.transform_buffer import TransformBuffer, TransformUnknownError
from tinybev.types import CameraFrame, Frame, Goal
from tinybev_ros.calibrations import Calibrations
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import compressed_msg_to_image, msg_to_frame_id, msg_to_intrinsics, raw_msg_to_image
from tinybev_ros.ego import EgoPoses, EgoTracker
from tinybev_ros.goal import GoalKeeper
from tinybev_ros.input_topics import InputTopics

EGO_SUBJECT, LATE_SUBJECT, LOST_SUBJECT, GOAL_SUBJECT = "ego pose", "ego pose delay", "localisation", "goal"

T = TypeVar("T")


@dataclass(frozen=True)
class BuiltFrame:
    """A frame, and whether it continues the one before: not the first, not where the clock jumped back, and not where
    the source of poses changed; what was remembered has no meaning then."""

    frame: Frame
    continues: bool


class FrameBuilder:
    """Builds frames one after the other.

    Args:
        config: the node's parameters.
        topics: where the inputs come from, to be named in complaints.
        transforms: the transform tree.
        ego: poses and motion.
        goal: the goal pose.
        calibrations: the newest CameraInfo by camera.
        command: gives the current value of the parameter ``command``.
        complaints: where to say what is wrong with an input.
    """

    def __init__(
        self,
        config: NodeConfig,
        topics: InputTopics,
        transforms: TransformBuffer,
        ego: EgoTracker,
        goal: GoalKeeper,
        calibrations: Calibrations,
        command: Callable[[], str],
        complaints: Complaints,
    ) -> None:
        self._config = config
        self._topics = topics
        self._optical_frames = camera_names(config.camera_frame) if config.camera_frame else {}
        self._transforms = transforms
        self._ego = ego
        self._goal = goal
        self._calibrations = calibrations
        self._command = command
        self._complaints = complaints
        self._deadline = 0.0
        self._last: tuple[int, str] | None = None  # stamp and pose frame of the last frame

    def build(self, camera_set: CameraSet[CompressedImage | Image]) -> BuiltFrame | None:
        """The frame of a set, None where no camera has an image and a calibration."""
        self._deadline = time.monotonic() + self._config.input_wait
        poses = self._poses([stamped.stamp_ns for stamped in camera_set.items.values()])
        images = {}
        for camera, stamped in camera_set.items.items():
            image = self._camera_frame(camera, stamped.stamp_ns, stamped.payload, poses)
            if image is not None:
                images[camera] = image
        if not images:
            return None
        stamp_ns = max(image.stamp_ns for image in images.values())
        map_T_base = poses.by_stamp.get(stamp_ns)
        frame = Frame(
            stamp_ns=stamp_ns,
            images=images,
            map_T_base=map_T_base,
            goal=self._goal_at(stamp_ns, poses.frame, map_T_base),
            ego=self._ego.status(stamp_ns),
        )
        last, self._last = self._last, (stamp_ns, poses.frame)
        return BuiltFrame(frame, continues=last is not None and last[0] < stamp_ns and last[1] == poses.frame)

    def _patience_s(self, subject: str) -> float:
        """How long an input may still be waited for."""
        if subject in self._complaints.open():
            return 0.0
        return max(0.0, self._deadline - time.monotonic())

    def _camera_frame(
        self, camera: str, stamp_ns: int, message: CompressedImage | Image, poses: EgoPoses
    ) -> CameraFrame | None:
        """None where something is missing; whatever it is is complained about, each thing on its own."""
        info_subject, mounting_subject = f"{camera} camera info", f"{camera} mounting"
        info = self._attempt(info_subject, partial(self._camera_info, camera, self._patience_s(info_subject)))
        calibration = None
        if info is not None:
            calibration = self._attempt(f"{camera} calibration", partial(msg_to_intrinsics, info))
        image: bytes | NDArray | None
        if isinstance(message, Image):
            image = self._attempt(f"{camera} image", partial(raw_msg_to_image, message))
        else:
            image = compressed_msg_to_image(message)
        base_T_camera = None
        optical_frame = self._attempt(f"{camera} frame_id", partial(self._optical_frame, camera, message))
        if optical_frame is not None:
            mounting = partial(self._mounting, optical_frame, self._patience_s(mounting_subject))
            base_T_camera = self._attempt(mounting_subject, mounting)
        if calibration is None or image is None or base_T_camera is None:
            return None
        intrinsics, image_size = calibration
        return CameraFrame(
            camera=camera,
            stamp_ns=stamp_ns,
            image=image,
            intrinsics=intrinsics,
            image_size=image_size,
            base_T_camera=base_T_camera,
            map_T_base=poses.by_stamp.get(stamp_ns),
        )

    def _attempt(self, subject: str, step: Callable[[], T]) -> T | None:
        """What the step gives; None, and a complaint about ``subject``, where it raises a UserError."""
        try:
            done = step()
        except UserError as error:
            self._complaints.raise_about(subject, str(error))
            return None
        self._complaints.settle(subject)
        return done

    def _camera_info(self, camera: str, patience_s: float) -> CameraInfo:
        info = self._calibrations.wait_for(camera, patience_s)
        if info is None:
            topic = self._topics.infos[camera]
            raise UserError(f"expected sensor_msgs/CameraInfo on {topic}, nothing came; publish it.")
        return info

    def _optical_frame(self, camera: str, message: CompressedImage | Image) -> str:
        frame = self._optical_frames.get(camera) or msg_to_frame_id(message.header)
        if not frame:
            raise UserError("its images carry none; set the parameter camera_frame to its optical frame.")
        return frame

    def _mounting(self, optical_frame: str, patience_s: float) -> Array:
        base_frame = self._config.base_frame
        try:
            # What is fixed needs no stamp: the newest transform is as good as any.
            return self._transforms.wait_for(base_frame, optical_frame, None, patience_s)
        except TransformUnknownError:
            raise UserError(
                f"expected a transform from {base_frame} to {optical_frame} on {self._topics.tf_static} or "
                f"{self._topics.tf}, none came; publish it, or set camera_frame or calibration_file."
            ) from None

    def _poses(self, stamps_ns: list[int]) -> EgoPoses:
        poses = self._ego.poses(stamps_ns, self._patience_s(EGO_SUBJECT))
        if len(poses.by_stamp) == len(set(stamps_ns)):
            self._complaints.settle(EGO_SUBJECT)
        else:
            edge = f"{self._config.map_frame} to {self._config.base_frame}"
            expected = f"{edge} on {self._topics.tf}, or odometry on {self._topics.odometry}"
            self._complaints.raise_about(
                EGO_SUBJECT, f"expected {expected}, at the stamps of the images, it lacks; frames are used without it."
            )
        if poses.late:
            self._complaints.raise_about(
                LATE_SUBJECT,
                f"expected poses within {self._config.input_wait:g} s of the images, they come later or more seldom; "
                "frames go on with the last motion and do not wait, raise input_wait where they are only late.",
            )
        else:
            self._complaints.settle(LATE_SUBJECT)
        if poses.lost:
            self._complaints.raise_about(
                LOST_SUBJECT, f"{poses.lost}; poses are odometry's, in {poses.frame}, until it is published again."
            )
        else:
            self._complaints.settle(LOST_SUBJECT)
        return poses

    def _goal_at(self, stamp_ns: int, pose_frame: str, map_T_base: Array | None) -> Goal:
        command = self._command()
        try:
            goal = self._goal.at(stamp_ns, pose_frame, map_T_base, command)
        except TransformUnknownError as error:
            self._complaints.raise_about(
                GOAL_SUBJECT, f"{error}; expected a goal pose in a frame of the transform tree, it is forgotten."
            )
            self._goal.clear()
            return self._goal.at(stamp_ns, pose_frame, map_T_base, command)
        self._complaints.settle(GOAL_SUBJECT)
        return goal
