"""Lines and polygons of base_link in the pixels of one camera, clipped exactly to what it can see.

Clipping happens in space, before the division by depth: a line that runs from before the camera to behind it is cut at
the near plane, and no pixel coordinate is ever infinite or far outside the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinybev.geometry import Array, invert, project, transform_points
from tinybev.types import CameraFrame, Floats, Frame, Ints

NEAR_M = 0.3
"""What is nearer to the camera than this is not drawn."""

_MARGIN_PX = 32.0  # lines are cut this far outside the image, so that their ends stay out of sight


def camera_T_base_at_reference(frame: Frame, camera: CameraFrame) -> Array:
    """(4, 4) from base_link at the frame's stamp to the camera's optical frame at the camera's own stamp.

    The ego moves between the two stamps; where either pose is unknown the two are taken for one.
    """
    camera_T_base = invert(camera.base_T_camera)
    if camera.map_T_base is None or frame.map_T_base is None:
        return camera_T_base
    return camera_T_base @ invert(camera.map_T_base) @ np.asarray(frame.map_T_base, dtype=np.float64)


@dataclass(frozen=True)
class CameraProjection:
    """A pinhole camera; pixel (0, 0) is the centre of the first pixel, as in OpenCV.

    Attributes:
        camera_T_base: (4, 4).
        intrinsics: (3, 3) for an image of ``size``.
        size: (height, width), pixels.
    """

    camera_T_base: Floats
    intrinsics: Floats
    size: tuple[int, int]

    @classmethod
    def of_camera(cls, frame: Frame, camera: CameraFrame, size: tuple[int, int]) -> CameraProjection:
        """The camera's projection for its image scaled to ``size``, with the ego motion since its stamp undone."""
        height, width = camera.image_size
        scale_x, scale_y = size[1] / width, size[0] / height
        # A pixel's centre is at its integer, so scaling keeps (-0.5, -0.5), the corner of the image, in place.
        scaled_T_full = np.array(
            [[scale_x, 0.0, 0.5 * scale_x - 0.5], [0.0, scale_y, 0.5 * scale_y - 0.5], [0.0, 0.0, 1.0]]
        )
        return cls(camera_T_base_at_reference(frame, camera), scaled_T_full @ camera.intrinsics, size)

    @cached_property
    def _half_spaces(self) -> Array:
        """(5, 4): a point p of the optical frame is visible where all of ``planes @ (p, 1)`` are >= 0."""
        row_u, row_v, row_w = np.asarray(self.intrinsics, dtype=np.float64)
        height, width = self.size
        low, right, bottom = -_MARGIN_PX, width - 1 + _MARGIN_PX, height - 1 + _MARGIN_PX
        planes = np.zeros((5, 4))
        planes[0] = 0.0, 0.0, 1.0, -NEAR_M
        # u >= low is row_u @ p >= low * row_w @ p where the depth is positive, which the near plane sees to.
        planes[1:, :3] = row_u - low * row_w, right * row_w - row_u, row_v - low * row_w, bottom * row_w - row_v
        return planes

    def points(self, points: Floats) -> tuple[Array, Array]:
        """Pixels (N, 2) and depths (N,) of points (N, 3) in base_link, not clipped."""
        return project(transform_points(self.camera_T_base, points), self.intrinsics)

    def lines(self, starts: Floats, ends: Floats) -> tuple[Array, Ints, Array]:
        """The visible parts of straight lines.

        Args:
            starts: (S, 3) in base_link.
            ends: (S, 3) in base_link.

        Returns:
            Pixels (M, 2, 2) of the visible parts' two ends, (M,) the line each belongs to, (M,) depth of the middle, m.
        """
        start, end = transform_points(self.camera_T_base, starts), transform_points(self.camera_T_base, ends)
        planes = self._half_spaces
        distance_start = start @ planes[:, :3].T + planes[:, 3]
        distance_end = end @ planes[:, :3].T + planes[:, 3]
        # Liang and Barsky's clipping: where along the line, 0 to 1, it enters the last and leaves the first half-space.
        change = distance_start - distance_end
        crossing = distance_start / np.where(change == 0.0, 1.0, change)
        enters = np.where(distance_start < 0, np.where(distance_end < 0, np.inf, crossing), 0.0).max(axis=1)
        leaves = np.where(distance_end < 0, np.where(distance_start < 0, -np.inf, crossing), 1.0).min(axis=1)
        kept = np.flatnonzero(enters < leaves)
        start, direction = start[kept], (end - start)[kept]
        ends_camera = start[:, None] + np.stack([enters, leaves], axis=1)[kept][:, :, None] * direction[:, None]
        pixels, depth = project(ends_camera.reshape(-1, 3), self.intrinsics)
        return pixels.reshape(-1, 2, 2), kept, depth.reshape(-1, 2).mean(axis=1)

    def polygon(self, corners: Floats) -> Array:
        """Pixels (Q, 2) of the visible part of a flat polygon (P, 3) in base_link; Q is 0 where none of it is seen."""
        polygon = transform_points(self.camera_T_base, corners)
        planes = self._half_spaces
        outside = polygon @ planes[:, :3].T + planes[:, 3] < 0
        if outside.all(axis=0).any():
            return np.empty((0, 2))
        for plane in planes[outside.any(axis=0)]:  # Sutherland and Hodgman's clipping, one half-space after the other
            distance = polygon @ plane[:3] + plane[3]
            inside = distance >= 0
            if inside.all():
                continue
            if not inside.any():
                return np.empty((0, 2))
            following, next_distance = np.roll(polygon, -1, axis=0), np.roll(distance, -1)
            crosses = inside != (next_distance >= 0)
            change = np.where(crosses, distance - next_distance, 1.0)
            cuts = polygon + (distance / change)[:, None] * (following - polygon)
            # Each corner that is inside stays, and after it comes the cut of the edge that leaves it.
            polygon = np.stack([polygon, cuts], axis=1)[np.stack([inside, crosses], axis=1)]
        return project(polygon, self.intrinsics)[0]
