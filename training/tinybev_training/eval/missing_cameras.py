"""Which cameras a scene loses where robustness against missing cameras is measured (the choice is ours)."""

from __future__ import annotations

import dataclasses

from tinybev.types import CAMERAS, Frame


def missing_cameras(scene_number: int, count: int) -> tuple[str, ...]:
    """The ``count`` neighbouring cameras that the split's scene number ``scene_number`` has to do without.

    They start with the camera of the scene's turn, clockwise from the front: six scenes in a row lose every camera
    equally often, and what is lost is one dark sector, the hardest case of so many cameras.
    """
    return tuple(CAMERAS[(scene_number + n) % len(CAMERAS)] for n in range(count))


def without_cameras(frame: Frame, cameras: tuple[str, ...]) -> Frame:
    """The frame without these cameras' images; its stamp and pose stay, so that it is held against the same truth."""
    kept = {camera: image for camera, image in frame.images.items() if camera not in cameras}
    return dataclasses.replace(frame, images=kept)
