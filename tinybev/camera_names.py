"""A name for each camera from one text: a template, or a list."""

from __future__ import annotations

from tinybev.types import CAMERAS


def camera_names(text: str) -> dict[str, str]:
    """The names of topics or frames of the six cameras, by camera.

    Args:
        text: one name with ``{camera}`` (``cam_front``) or ``{CAMERA}`` (``CAM_FRONT``) in it, or the six names,
            separated by commas, in the order of ``CAMERAS``.

    Raises:
        ValueError: these are not six different names.
    """
    names = [name.strip() for name in text.split(",")]
    if len(names) == 1:
        names = [text.replace("{camera}", camera.lower()).replace("{CAMERA}", camera) for camera in CAMERAS]
    if len(set(names)) != len(CAMERAS) or len(names) != len(CAMERAS) or not all(names):
        expected = f"{{camera}} or {{CAMERA}} in it, or {len(CAMERAS)} different names separated by commas"
        raise ValueError(f"expected {expected}, got {text!r}")
    return dict(zip(CAMERAS, names, strict=True))
