"""One picture of one frame: six cameras with the outputs projected, a bird's-eye view beside them, and what is what."""

from __future__ import annotations

import cv2
import numpy as np

from tinybev.draw.bev_view import draw_bev
from tinybev.draw.camera_projection import CameraProjection
from tinybev.draw.camera_view import draw_camera
from tinybev.draw.layout import Layout, Rect
from tinybev.draw.legend import draw_legend
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import BACKGROUND, BANNER, FAINT_TEXT, MISSING, PANEL, TEXT, WARNING
from tinybev.draw.shapes import Shapes
from tinybev.draw.strokes import Image, blank, paint, text_width, write
from tinybev.types import CameraFrame, Frame

# JPEG decoders can halve an image as they read it, at less than the cost of the full size.
_REDUCED_READS = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (1, cv2.IMREAD_COLOR),
)


def draw_mosaic(frame: Frame, overlay: Overlay, width: int = 1920) -> Image:
    """Draws ``overlay`` over ``frame``.

    Each camera is drawn with its own calibration and ego pose. A camera that is missing, or whose image cannot be
    decoded, is a dark tile that says so.

    Args:
        frame: the images.
        overlay: what to draw over them.
        width: of the picture, even; the height follows from it and from whether there is a notice.

    Returns:
        (height, width, 3) BGR, both even.

    Raises:
        ValueError: the width is odd or too small to read anything.
    """
    layout = Layout.of_width(width, with_banner=overlay.notice is not None)
    mosaic = blank(layout.height, layout.width, BACKGROUND)
    _caption(mosaic, layout, frame, overlay.title)
    if layout.banner is not None and overlay.notice is not None:
        _banner(mosaic, layout.banner, overlay.notice, layout.scale)
    shapes = Shapes.of_overlay(overlay)
    for camera, rect in layout.cameras.items():
        mosaic[rect.slices] = _tile(frame, camera, rect, shapes, layout.scale)
    mosaic[layout.legend.slices] = draw_legend(overlay, layout.legend.height, layout.legend.width, layout.scale)
    mosaic[layout.bev.slices] = draw_bev(overlay, shapes, layout.bev.width, layout.scale)
    return mosaic


def _caption(mosaic: Image, layout: Layout, frame: Frame, title: str) -> None:
    rect, scale = layout.caption, layout.scale
    paint(mosaic, rect.x, rect.y, rect.width, rect.height, PANEL)
    facts = [f"{frame.stamp_ns / 1e9:.3f} s"]
    if frame.ego is not None:
        facts.append(f"{frame.ego.speed_mps:.1f} m/s")
    facts.append(f"command {frame.goal.command.name.lower()}")
    right = "   ".join(facts)
    baseline = rect.y + rect.height * 0.68
    size = 0.6 * scale
    x = rect.width - text_width(right, size) - 14 * scale
    write(mosaic, right, (x, baseline), FAINT_TEXT, size)
    if frame.missing:
        missing = f"missing: {', '.join(frame.missing)}"
        x -= text_width(missing, size) + 30 * scale
        write(mosaic, missing, (x, baseline), WARNING, size)
    size = 0.75 * scale
    size *= min(1.0, (x - 44 * scale) / max(text_width(title, size), 1))
    write(mosaic, title, (14 * scale, baseline), TEXT, size)


def _banner(mosaic: Image, rect: Rect, notice: str, scale: float) -> None:
    paint(mosaic, rect.x, rect.y, rect.width, rect.height, BANNER)
    size, thickness = 0.9 * scale, max(1, round(2 * scale))
    size *= min(1.0, (rect.width - 28 * scale) / max(text_width(notice, size, thickness), 1))
    x = (rect.width - text_width(notice, size, thickness)) / 2
    write(mosaic, notice, (x, rect.y + rect.height * 0.68), (255, 255, 255), size, thickness)


def _tile(frame: Frame, camera: str, rect: Rect, shapes: Shapes, scale: float) -> Image:
    if camera not in frame.images:
        return _dark_tile(f"{camera} missing", rect, scale)
    camera_frame = frame.images[camera]
    height, width = _fitted(camera_frame.image_size, rect)
    image = read_scaled(camera_frame, (height, width))
    if image is None:
        return _dark_tile(f"{camera} unreadable", rect, scale)
    draw_camera(image, CameraProjection.of_camera(frame, camera_frame, (height, width)), shapes, scale)
    tile = blank(rect.height, rect.width, BACKGROUND)
    top, left = (rect.height - height) // 2, (rect.width - width) // 2
    tile[top : top + height, left : left + width] = image
    age_ms = (camera_frame.stamp_ns - frame.stamp_ns) / 1e6
    label = camera if abs(age_ms) < 0.5 else f"{camera}  {age_ms:+.0f} ms"
    write(tile, label, (8 * scale, 18 * scale), TEXT, 0.48 * scale, halo=True)
    return tile


def _dark_tile(message: str, rect: Rect, scale: float) -> Image:
    tile = blank(rect.height, rect.width, MISSING)
    size = 0.75 * scale
    write(tile, message, ((rect.width - text_width(message, size)) / 2, rect.height * 0.53), WARNING, size)
    return tile


def _fitted(image_size: tuple[int, int], rect: Rect) -> tuple[int, int]:
    """(height, width) of an image of ``image_size`` made as large as ``rect`` holds."""
    height, width = image_size
    scale = min(rect.height / height, rect.width / width)
    return max(1, min(rect.height, round(height * scale))), max(1, min(rect.width, round(width * scale)))


def read_scaled(camera: CameraFrame, size: tuple[int, int]) -> Image | None:
    """The camera's image as BGR (height, width, 3) of ``size``; None if its bytes are no image."""
    if isinstance(camera.image, bytes):
        shrink = min(camera.image_size[0] / size[0], camera.image_size[1] / size[1])
        flag = next(flag for factor, flag in _REDUCED_READS if factor <= max(shrink, 1.0))
        # The calibration belongs to the pixels as they are stored, so an EXIF orientation must not turn them.
        encoded = np.frombuffer(camera.image or b"-", dtype=np.uint8)  # OpenCV raises on no bytes at all
        image = cv2.imdecode(encoded, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            return None
    else:
        image = cv2.cvtColor(camera.image, cv2.COLOR_RGB2BGR)
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
