"""Tiles of noise that are looked up instead of computed: texture, clouds, sensor grain."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

TILE = 512


@lru_cache(maxsize=8)
def smooth_tile(device: torch.device, octaves: int = 6, seed: int = 1) -> Tensor:
    """(TILE * TILE,) noise of several octaves that wraps around, mean 0, standard deviation 1."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)) * TILE
    envelope = np.where(frequency > 0, 1 / np.maximum(frequency, 1) ** 1.25, 0) * (frequency < 2.0**octaves * 2)
    tile = np.fft.irfft2(spectrum * envelope, s=(TILE, TILE))
    return torch.from_numpy((tile / tile.std()).astype(np.float32).ravel()).to(device)


@lru_cache(maxsize=8)
def leaf_tile(device: torch.device, seed: int = 3) -> Tensor:
    """(TILE * TILE,) noise of one size, some six pixels, that wraps around, mean 0, standard deviation 1."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE))
    tile = np.fft.irfft2(spectrum * np.exp(-((frequency - 0.16) ** 2) / (2 * 0.06**2)), s=(TILE, TILE))
    return torch.from_numpy((tile / tile.std()).astype(np.float32).ravel()).to(device)


@lru_cache(maxsize=8)
def grain_tile(device: torch.device, seed: int = 2) -> Tensor:
    """(TILE * TILE,) independent normal noise."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal(TILE * TILE).astype(np.float32)).to(device)


def look_up(tile: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The tile at coordinates in its pixels, wrapped, nearest."""
    column = x.to(torch.int32) & (TILE - 1)
    row = y.to(torch.int32) & (TILE - 1)
    return tile.index_select(0, row * TILE + column)
