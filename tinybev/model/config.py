"""What makes one student differ from another: a frozen dataclass, and the registry of the variants we ship."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from tinybev.errors import UserError
from tinybev.geometry import BevGrid, Bound, count_cells
from tinybev.types import DETECTION_CLASSES

PREFIX = "tinybev-"
"""Every variant's name starts with it; where a name is asked for it may be left out."""
_COUNTS = (
    *("backbone_width", "neck_channels", "context_channels", "bev_stem_stride", "bev_widths", "bev_blocks"),
    *("bev_channels", "head_channels", "agent_channels", "plan_channels", "scene_channels", "max_agents"),
    *("motion_modes", "motion_steps", "occupancy_steps", "plan_steps"),
)
"""Of what there has to be at least one."""


@dataclass(frozen=True)
class StudentConfig:
    """The network's configuration; a bundle's manifest stores it, and weights fit one configuration only.

    Attributes:
        name: the variant's.
        image_size: (height, width) of an input image, pixels.
        image_mean, image_std: RGB, 0 to 255; an image is normalised as (pixel - mean) / std.
        x_bound, y_bound, z_bound: extent of the grid in base_link, (min, max, step) in metres; z is one cell, points
            outside it are not lifted.
        d_bound: the depth bins along a camera's optical axis, (min, max, step) in metres.
        backbone_width: channels of the residual network's first stage; 64 makes it ResNet-18.
        feature_stride: pixels of the image per cell of its features: 4, 8 or 16.
        neck_channels: of the image features.
        context_channels: of what is lifted onto the grid.
        bev_stem_stride: cells of the grid per cell of the heads, along each side.
        bev_widths, bev_blocks: channels and residual blocks of the BEV encoder's stages; each is half as fine as the
            one before, the first as fine as the heads.
        bev_channels: of the shared BEV features that feed every head.
        head_channels: of the heads' own convolutions.
        agent_channels: of the motion head's hidden layers.
        plan_channels: of the planning head's hidden layers.
        scene_channels: to which the coarsest BEV features are reduced before the planner reads all of them.
        max_agents: objects that can be found in one frame.
        memory_frames: earlier frames whose BEV features are fused with the present ones; 0 is the paper's network.
        time_step_s: seconds between the steps of every forecast, and between the frames of the memory.
        motion_modes, motion_steps: futures of an agent.
        occupancy_steps: now and the steps after it.
        plan_steps: of the ego's trajectory.
    """

    name: str
    image_size: tuple[int, int]
    x_bound: Bound
    y_bound: Bound
    d_bound: Bound
    backbone_width: int
    feature_stride: int
    neck_channels: int
    context_channels: int
    bev_stem_stride: int
    bev_widths: tuple[int, ...]
    bev_blocks: tuple[int, ...]
    bev_channels: int
    head_channels: int
    agent_channels: int
    plan_channels: int
    scene_channels: int
    max_agents: int
    z_bound: Bound = (-3.0, 5.0, 8.0)
    image_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    image_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    memory_frames: int = 0
    time_step_s: float = 0.5
    motion_modes: int = 6
    motion_steps: int = 12
    occupancy_steps: int = 5
    plan_steps: int = 6

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.feature_stride not in (4, 8, 16):
            raise UserError(f"feature_stride: expected 4, 8 or 16, got {self.feature_stride}; choose one.")
        if any(side <= 0 or side % self.feature_stride for side in self.image_size):
            raise UserError(
                f"image_size: expected multiples of feature_stride ({self.feature_stride}), got {self.image_size}."
            )
        if len(self.bev_widths) != len(self.bev_blocks):
            raise UserError(
                f"bev_widths and bev_blocks: expected one of each a stage, got {self.bev_widths} and {self.bev_blocks}."
            )
        try:
            shape = self.grid.shape
            depths = count_cells(self.d_bound, "d_bound")
            heights = count_cells(self.z_bound, "z_bound")
        except ValueError as error:
            raise UserError(f"{error}; correct the configuration.") from error
        if heights != 1 or depths < 2:
            raise UserError(f"expected one cell along z and two or more depth bins, got {heights} and {depths}.")
        if self.d_bound[0] <= 0:
            raise UserError(
                f"d_bound: expected depths in front of the camera, above 0 m, got {self.d_bound}; correct it."
            )
        if any(side % self.bev_stem_stride for side in shape):
            raise UserError(f"bev_stem_stride: expected a divisor of the grid's {shape}, got {self.bev_stem_stride}.")
        rows, columns = self.head_grid.shape
        if self.max_agents > (places := len(DETECTION_CLASSES) * rows * columns):
            raise UserError(
                f"max_agents: expected at most {places}, one of each class in each of the heads' {rows}x{columns} "
                f"cells, got {self.max_agents}; choose fewer."
            )

    def _check_numbers(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if any(count < 1 for count in (value if isinstance(value, tuple) else (value,))) or value == ():
                raise UserError(f"{name}: expected 1 or more, got {value}; correct the configuration.")
        if self.memory_frames < 0:
            raise UserError(f"memory_frames: expected 0 or more, got {self.memory_frames}; 0 is a network without.")
        for name, values in (("time_step_s", (self.time_step_s,)), ("image_std", self.image_std)):
            if not all(0 < value < math.inf for value in values):
                raise UserError(f"{name}: expected finite numbers above 0, got {getattr(self, name)}; correct it.")
        if not all(map(math.isfinite, self.image_mean)):
            raise UserError(f"image_mean: expected finite numbers, got {self.image_mean}; correct it.")

    @property
    def grid(self) -> BevGrid:
        """The grid onto which images are lifted, and of the map and occupancy outputs."""
        return BevGrid(self.x_bound, self.y_bound)

    @property
    def head_grid(self) -> BevGrid:
        """The coarser grid of the shared BEV features and of the detection head."""
        (x_min, x_max, x_step), (y_min, y_max, y_step) = self.x_bound, self.y_bound
        stride = self.bev_stem_stride
        return BevGrid((x_min, x_max, x_step * stride), (y_min, y_max, y_step * stride))

    @property
    def feature_size(self) -> tuple[int, int]:
        """(height, width) of an image's features."""
        height, width = self.image_size
        return height // self.feature_stride, width // self.feature_stride

    @property
    def depth_bins(self) -> int:
        """How many depths a pixel's features are spread over."""
        return count_cells(self.d_bound, "d_bound")

    def to_dict(self) -> dict[str, object]:
        """The configuration in JSON's types."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> StudentConfig:
        """The inverse of :meth:`to_dict`.

        Raises:
            UserError: a key is missing or unknown, or a value has the wrong type.
        """
        hints = typing.get_type_hints(cls)
        if missing := sorted(hints.keys() - values.keys()):
            raise UserError(f"configuration: expected {', '.join(missing)}, not given; add what is missing.")
        if unknown := sorted(values.keys() - hints.keys()):
            raise UserError(f"configuration: expected no {', '.join(unknown)}; written by another version of tinybev?")
        return cls(**{key: _checked(key, value, hints[key]) for key, value in values.items()})


def _checked(key: str, value: object, expected: object) -> typing.Any:
    """``value`` as the type ``expected``: str, int, float or a tuple of them."""
    if isinstance(expected, types.GenericAlias | typing._GenericAlias):  # type: ignore[attr-defined]
        items = typing.get_args(expected)
        if isinstance(value, list | tuple) and (items[-1] is Ellipsis or len(items) == len(value)):
            return tuple(_checked(key, item, items[0]) for item in value)
    elif expected is float and type(value) in (int, float):
        return float(value)  # type: ignore[arg-type]
    elif type(value) is expected:
        return value
    name = getattr(expected, "__name__", str(expected)) if isinstance(expected, type) else str(expected)
    raise UserError(f"configuration: expected {key} to be {name}, got {value!r}; correct it.")


_BASE = StudentConfig(
    name=PREFIX + "base",
    image_size=(256, 704),
    x_bound=(-51.2, 51.2, 0.512),
    y_bound=(-51.2, 51.2, 0.512),
    d_bound=(1.0, 60.0, 1.0),
    backbone_width=64,
    feature_stride=16,
    neck_channels=256,
    context_channels=64,
    bev_stem_stride=2,
    bev_widths=(80, 160, 320, 512),
    bev_blocks=(1, 2, 2, 2),
    bev_channels=96,
    head_channels=64,
    agent_channels=512,
    plan_channels=256,
    scene_channels=16,
    max_agents=200,
)

_SMALL = dataclasses.replace(
    _BASE,
    name=PREFIX + "small",
    image_size=(128, 352),
    x_bound=(-51.2, 51.2, 0.8),
    y_bound=(-51.2, 51.2, 0.8),
    feature_stride=8,
    neck_channels=128,
    context_channels=64,
    bev_widths=(64, 128, 256, 256),
    bev_blocks=(1, 1, 1, 1),
    bev_channels=64,
    head_channels=64,
    agent_channels=256,
    plan_channels=128,
    scene_channels=16,
)

_FAST = dataclasses.replace(
    _SMALL, name=PREFIX + "fast", image_size=_BASE.image_size, backbone_width=32, feature_stride=_BASE.feature_stride
)

_NANO = dataclasses.replace(
    _SMALL,
    name=PREFIX + "nano",
    image_size=(64, 176),
    backbone_width=32,
    feature_stride=4,
    neck_channels=64,
    context_channels=48,
    bev_widths=(48, 96, 128, 160),
    bev_channels=48,
    head_channels=32,
    agent_channels=128,
    plan_channels=64,
    scene_channels=8,
    max_agents=100,
)

_MINI = dataclasses.replace(_NANO, name=PREFIX + "mini", image_size=(128, 352), feature_stride=8, max_agents=200)

VARIANTS: dict[str, StudentConfig] = {config.name: config for config in (_BASE, _FAST, _SMALL, _MINI, _NANO)}
"""The variants by name: the paper's size, and four for weak CPUs, of which nano is for tests and experiments."""


def find_variant(name: str) -> StudentConfig:
    """The configuration of a variant; "nano" is "tinybev-nano".

    Raises:
        UserError: there is none of that name.
    """
    full_name = name if name.startswith(PREFIX) else PREFIX + name
    if full_name not in VARIANTS:
        raise UserError(f"variant: expected one of {', '.join(VARIANTS)}, got {name!r}; choose one.")
    return VARIANTS[full_name]
