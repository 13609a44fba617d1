"""The newest CameraInfo of every camera, for a worker that may wait a moment for the first one."""

from __future__ import annotations

import threading

from sensor_msgs.msg import CameraInfo


class Calibrations:
    """Thread-safe."""

    def __init__(self) -> None:
        self._infos: dict[str, CameraInfo] = {}
        self._changed = threading.Condition()

    def set(self, camera: str, info: CameraInfo) -> None:
        """Keeps the newest of a camera."""
        with self._changed:
            self._infos[camera] = info
            self._changed.notify_all()

    def wait_for(self, camera: str, timeout_s: float) -> CameraInfo | None:
        """The newest of a camera, None where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: camera in self._infos, timeout_s)
            return self._infos.get(camera)
