"""A rendered street for the network: the pictures of docs/world.md in the cameras of the made frame."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from tinybev.bench.made_frame import IMAGE_SIZE, made_frame
from tinybev.types import Frame

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "world_day.jpg"
ROWS = (("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"), ("CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"))
"""Where each camera is in the picture."""


def street_frame() -> Frame:
    """Six pictures of a street, 900x1600; their calibrations are a ring's and only nearly the rendered cameras'."""
    mosaic = cv2.cvtColor(cv2.imread(str(PICTURE)), cv2.COLOR_BGR2RGB)
    height, width = mosaic.shape[0] // 2, mosaic.shape[1] // 3
    frame, images = made_frame(), {}
    for row, cameras in enumerate(ROWS):
        for column, camera in enumerate(cameras):
            tile = mosaic[row * height : (row + 1) * height, column * width : (column + 1) * width]
            pixels = np.asarray(cv2.resize(tile, IMAGE_SIZE[::-1]), dtype=np.uint8)
            images[camera] = dataclasses.replace(frame.images[camera], image=pixels)
    return dataclasses.replace(frame, images=images)
