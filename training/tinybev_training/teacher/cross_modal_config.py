"""What makes one cross-modal teacher differ from another, and the ones we ship: one for each variant of the student."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from tinybev.errors import UserError
from tinybev.model.config import PREFIX, StudentConfig, find_variant

TEACHER_PREFIX = "teacher-"


@dataclass(frozen=True)
class CrossModalConfig:
    """The network's configuration.

    Attributes:
        network: images, grids, lift, BEV encoder, memory and heads, in the student's own terms but larger; its
            ``backbone_width`` means nothing here.
        image_backbone: torchvision's name of the image backbone.
        point_channels, lidar_channels: of the lidar's pillars, and of its features on the grid of the heads; both 0 for
            a teacher that has cameras alone.
    """

    network: StudentConfig
    image_backbone: str
    point_channels: int
    lidar_channels: int

    @property
    def sees_lidar(self) -> bool:
        """Whether it looks at lidar points."""
        return self.lidar_channels > 0

    def to_dict(self) -> dict[str, object]:
        """The configuration in JSON's types."""
        return {**dataclasses.asdict(self), "network": self.network.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> CrossModalConfig:
        """The inverse of :meth:`to_dict`.

        Raises:
            UserError: a key is missing or unknown, or a value has the wrong type.
        """
        types = {"network": dict, "image_backbone": str, "point_channels": int, "lidar_channels": int}
        if values.keys() != types.keys() or any(type(values[key]) is not one for key, one in types.items()):
            raise UserError(
                "teacher's configuration: expected network, image_backbone, point_channels and lidar_channels, got "
                f"{dict(values)}; written by another version of tinybev?"
            )
        network = StudentConfig.from_dict(values["network"])  # type: ignore[arg-type]
        return cls(network, values["image_backbone"], values["point_channels"], values["lidar_channels"])  # type: ignore[arg-type]


def _larger(variant: str, **changes: object) -> StudentConfig:
    """A student's configuration with the same images and grids, and earlier frames in view: two, if not changed."""
    student = find_variant(variant)
    name = TEACHER_PREFIX + student.name.removeprefix(PREFIX)
    return dataclasses.replace(student, **{"name": name, "memory_frames": 2, **changes})  # type: ignore[arg-type]


def _of_cameras_alone(config: CrossModalConfig) -> CrossModalConfig:
    """The same teacher without its lidar: what cameras, capacity and memory give by themselves."""
    network = dataclasses.replace(config.network, name=config.network.name + "-cameras")
    return dataclasses.replace(config, network=network, point_channels=0, lidar_channels=0)


_WITH_LIDAR = (
    CrossModalConfig(
        _larger(
            "base",
            neck_channels=256,
            context_channels=96,
            bev_widths=(128, 256, 512, 1024),
            bev_blocks=(2, 2, 3, 3),
            bev_channels=192,
            head_channels=96,
        ),
        image_backbone="resnet152",
        point_channels=64,
        lidar_channels=128,
    ),
    CrossModalConfig(
        _larger(
            "small",
            neck_channels=256,
            context_channels=96,
            bev_widths=(96, 192, 384, 768),
            bev_blocks=(2, 2, 2, 2),
            bev_channels=128,
            head_channels=96,
        ),
        image_backbone="resnet101",
        point_channels=64,
        lidar_channels=96,
    ),
    *(
        CrossModalConfig(
            _larger(
                variant,
                memory_frames=1,
                bev_widths=(64, 128, 256, 384),
                bev_blocks=(1, 2, 2, 2),
                bev_channels=64,
                head_channels=48,
            ),
            image_backbone="resnet18",
            point_channels=16,
            lidar_channels=64,
        )
        for variant in ("mini", "nano")
    ),
)

TEACHERS: dict[str, CrossModalConfig] = {
    config.network.name: config for config in (*_WITH_LIDAR, *map(_of_cameras_alone, _WITH_LIDAR))
}
"""By name; each has at least 4.5 times the parameters of its student."""


def find_teacher(name: str) -> CrossModalConfig:
    """The configuration of a teacher, e.g. "teacher-nano".

    Raises:
        UserError: there is none of that name.
    """
    if name not in TEACHERS:
        raise UserError(f"teacher: expected one of {', '.join(TEACHERS)}, got {name!r}; choose one.")
    return TEACHERS[name]
