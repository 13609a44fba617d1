"""A scene with real camera stamps and a picture behind every one of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tiny_nuscenes import SCENES, write_tiny_nuscenes

from tinybev.types import CAMERAS


@dataclass(frozen=True)
class RecordedScene:
    """A nuScenes-format dataroot, the folder of its tables, and one scene all of whose camera files exist."""

    dataroot: Path
    version: str
    scene: str


def generated_scene(folder: Path) -> RecordedScene:
    """The tiny generated dataset, whose cameras fire as nuScenes' do."""
    return RecordedScene(write_tiny_nuscenes(folder, seconds=4.0), "v1.0-mini", SCENES[0])


def real_scene(nuscenes_dataroot: Path, folder: Path) -> RecordedScene:
    """scene-0103 with its own tables; each camera's files are all the one keyframe that is at hand, as links."""
    for name in ("v1.0-mini", "maps"):
        (folder / name).symlink_to(nuscenes_dataroot / name)
    pictures = {camera: next((nuscenes_dataroot / "samples" / camera).glob("*.jpg")) for camera in CAMERAS}
    for record in json.loads((nuscenes_dataroot / "v1.0-mini" / "sample_data.json").read_text()):
        channel = Path(record["filename"]).parent.name
        if channel in pictures:
            target = folder / record["filename"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_symlink():
                os.symlink(pictures[channel], target)
    return RecordedScene(folder, "v1.0-mini", "scene-0103")
