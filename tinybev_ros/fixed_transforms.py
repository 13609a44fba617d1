"""A file of fixed transforms, for recordings whose transform tree lacks the cameras' mountings.

It maps parent frames to child frames, each with a translation (x, y, z) in metres and a rotation quaternion
(x, y, z, w), as ``ros2 run tf2_ros tf2_echo PARENT CHILD`` prints them::

    base_link:
      cam_front: {translation: [1.70, 0.02, 1.51], rotation: [-0.5, 0.5, -0.5, 0.5]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tinybev.errors import UserError
from tinybev.geometry import Array, transform_from


@dataclass(frozen=True)
class FixedTransform:
    """``parent_T_child`` (4, 4)."""

    parent: str
    child: str
    parent_T_child: Array


def load_fixed_transforms(path: Path) -> tuple[FixedTransform, ...]:
    """The transforms of a file, in its order.

    Raises:
        UserError: the file cannot be read, or does not have that form.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"parameter 'calibration_file': {path} cannot be read as YAML: {reason}; correct it."
        ) from error
    transforms = []
    try:
        for parent, children in document.items():
            for child, values in children.items():
                if set(values) != {"translation", "rotation"} or len(values["translation"]) != 3:
                    raise ValueError(f"{parent} -> {child} is {values}")
                parent_T_child = transform_from(values["rotation"], values["translation"])
                transforms.append(FixedTransform(str(parent), str(child), parent_T_child))
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"parameter 'calibration_file': expected in {path} 'parent: {{child: {{translation: [x, y, z], rotation: "
            f"[x, y, z, w]}}}}', but {error}; correct it."
        ) from error
    return tuple(transforms)
