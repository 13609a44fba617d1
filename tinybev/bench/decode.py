"""Six JPEG files to the network's pixels: at reduced size, as the runtime does it, and at full size."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.bench.interleaved import Prepare, Work, time_in_turns
from tinybev.bench.made_frame import IMAGE_SIZE, made_frame
from tinybev.bench.network import DEFAULT_BUNDLE
from tinybev.bench.speed_row import speed_row, table
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.crop import Crop
from tinybev.runtime.image_file import decode_image_file
from tinybev.runtime.preprocess import DECODER_THREADS

DESCRIPTION = "six JPEG files to the network's pixels (--bundle, --rounds)"
YARDSTICK = "full size"

Decode = Callable[[bytes, Crop], NDArray[np.uint8]]


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints the table, and returns its rows."""
    config = load_bundle(args.bundle or DEFAULT_BUNDLE).config
    variants: dict[str, Prepare] = {name: _SixCameras(name, config.image_size) for name in DECODERS}
    timings, absent = time_in_turns(variants, args.rounds)
    rows = [
        speed_row("decode", f"{config.name} {name}", "opencv", "uint8", DECODER_THREADS, timing, timings[YARDSTICK])
        for name, timing in timings.items()
    ]
    print(table(rows, absent))
    return [asdict(row) for row in rows]


def _full(data: bytes, crop: Crop) -> NDArray[np.uint8]:
    bgr = np.asarray(cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    return crop.apply(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), dtype=np.uint8))


def _reduced(data: bytes, crop: Crop) -> NDArray[np.uint8]:
    return crop.apply(decode_image_file(data, target_width=crop.resized[1]))


DECODERS: dict[str, Decode] = {YARDSTICK: _full, "reduced": _reduced}


@dataclass(frozen=True)
class _SixCameras:
    name: str
    target: tuple[int, int]

    def __call__(self) -> Work:
        files = [image.image for image in made_frame().images.values() if isinstance(image.image, bytes)]
        crop, decode = Crop.fit(IMAGE_SIZE, self.target), DECODERS[self.name]
        pool = ThreadPoolExecutor(DECODER_THREADS)
        return lambda: list(pool.map(lambda data: decode(data, crop), files))
