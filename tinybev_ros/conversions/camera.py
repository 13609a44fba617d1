"""CameraInfo and images."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from tinybev.errors import UserError
from tinybev.geometry import Array
from tinybev.types import Floats


def msg_to_intrinsics(info: CameraInfo) -> tuple[Array, tuple[int, int]]:
    """The 3x3 pinhole matrix of the rectified image and the (height, width) it belongs to.

    It is ``k``; ``p`` where the camera is distorted, since then ``p`` describes the rectified image, or where ``k`` is
    no pinhole matrix. ``r`` is not looked at: it is the identity for a camera that is no half of a stereo pair, and
    converters are known that write it wrong.

    Raises:
        UserError: neither ``k`` nor ``p`` is a pinhole matrix, or the image has no size.
    """
    height, width = int(info.height), int(info.width)
    k = np.asarray(info.k, dtype=np.float64).reshape(3, 3)
    p = np.asarray(info.p, dtype=np.float64).reshape(3, 4)[:, :3]
    if height < 1 or width < 1:
        raise UserError(f"its CameraInfo says {width}x{height} pixels, expected the size of its images; correct it.")
    distorted = any(value != 0.0 for value in info.d)
    for matrix in (p, k) if distorted else (k, p):
        if _is_pinhole(matrix, height, width):
            return matrix, (height, width)
    raise UserError(
        "its CameraInfo holds no pinhole matrix: expected k = [fx 0 cx; 0 fy cy; 0 0 1] with positive focal lengths, "
        f"got k = {[float(value) for value in info.k]}; correct the calibration."
    )


def _is_pinhole(matrix: Array, height: int, width: int) -> bool:
    """Whether a 3x3 matrix can be the intrinsics of an image of that size."""
    if not np.isfinite(matrix).all() or not np.allclose(matrix[2], (0.0, 0.0, 1.0)) or matrix[1, 0] != 0.0:
        return False
    return bool(matrix[0, 0] > 0 and matrix[1, 1] > 0 and 0 < matrix[0, 2] < width and 0 < matrix[1, 2] < height)


def intrinsics_to_msg(intrinsics: Floats, image_size: tuple[int, int], header: Header) -> CameraInfo:
    """The CameraInfo of a rectified camera: no distortion, ``r`` the identity, ``p`` = [k | 0]."""
    k = np.asarray(intrinsics, dtype=np.float64)
    info = CameraInfo(header=header, height=image_size[0], width=image_size[1], distortion_model="plumb_bob")
    info.d = array("d", [0.0] * 5)
    info.k = k.ravel()
    info.r = np.eye(3).ravel()
    info.p = np.hstack([k, np.zeros((3, 1))]).ravel()
    return info


def compressed_msg_to_image(message: CompressedImage) -> bytes:
    """The encoded bytes of a picture as they came; they are decoded where the network reads them."""
    return bytes(message.data)


def raw_msg_to_image(message: Image) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of an Image in any encoding that cv_bridge knows.

    Raises:
        UserError: cv_bridge cannot make RGB of it or cannot be loaded, or its size and its data disagree.
    """
    try:
        image = CvBridge().imgmsg_to_cv2(_without_row_padding(message), "rgb8")
        return np.ascontiguousarray(image, dtype=np.uint8)
    except (CvBridgeError, cv2.error, ValueError, TypeError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"its image ({message.width}x{message.height}, encoding {message.encoding!r}, {len(message.data)} bytes) "
            f"cannot be read as RGB ({reason}); expected an encoding of sensor_msgs and data to match."
        ) from error
    except (ImportError, AttributeError) as error:  # its compiled part is loaded when it is first needed
        raise UserError(
            f"its image cannot be read because cv_bridge does not work with numpy {np.__version__} ({error}); install "
            "the numpy that cv_bridge was built with (numpy<2 for most), or set image_transport to compressed."
        ) from error


def _without_row_padding(message: Image) -> Image:
    """The image with rows as long as its pixels need: not every cv_bridge looks at ``step``."""
    dtype, channels = CvBridge().encoding_to_dtype_with_channels(message.encoding)
    row_bytes = message.width * channels * np.dtype(dtype).itemsize
    if message.step <= row_bytes:
        return message
    rows = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.step)[:, :row_bytes]
    return Image(
        header=message.header,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        is_bigendian=message.is_bigendian,
        step=row_bytes,
        data=array("B", rows.tobytes()),
    )
