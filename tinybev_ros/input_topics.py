"""The names of the topics that a node of some configuration subscribes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tinybev.camera_names import camera_names
from tinybev.config import NodeConfig
from tinybev.errors import UserError
from tinybev_ros.topics import TF, TF_STATIC


@dataclass(frozen=True)
class InputTopics:
    """Names of topics.

    Attributes:
        images, infos: of the cameras' images and CameraInfo, by camera.
        odometry, goal, tf, tf_static: of the other inputs.
    """

    images: Mapping[str, str]
    infos: Mapping[str, str]
    odometry: str
    goal: str
    tf: str
    tf_static: str


def input_topics(config: NodeConfig, resolve: Callable[[str], str] = str) -> InputTopics:
    """The topics as the parameters name them, each as ``resolve`` gives it.

    Raises:
        UserError: a parameter gives a name that ``resolve`` refuses with a ValueError.
    """

    def named_by(parameter: str, topic: str) -> str:
        try:
            return resolve(topic)
        except ValueError as error:
            raise UserError(f"parameter {parameter!r}: {topic!r} is no topic name: {error}; correct it.") from error

    def of_cameras(parameter: str) -> dict[str, str]:
        names = camera_names(getattr(config, parameter))
        return {camera: named_by(parameter, topic) for camera, topic in names.items()}

    return InputTopics(
        images=of_cameras("image_topic"),
        infos=of_cameras("camera_info_topic"),
        odometry=named_by("odometry_topic", config.odometry_topic),
        goal=named_by("goal_topic", config.goal_topic),
        tf=resolve(TF),
        tf_static=resolve(TF_STATIC),
    )
