"""Pictures as bytes to what convolutions take."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinybev.model.config import StudentConfig


class Pixels(nn.Module):
    """Normalises RGB bytes as the configuration says.

    It is the first layer of every network, so that bytes are what travels to a device and into a runtime, and a file
    that is exported tells nobody to normalise. The mean and the deviation are no weights and not saved as such.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.register_buffer("mean_3", torch.tensor(config.image_mean), persistent=False)
        self.register_buffer("std_3", torch.tensor(config.image_std), persistent=False)
        self.mean_3: Tensor
        self.std_3: Tensor

    def forward(self, images_BNHW3: Tensor) -> Tensor:
        """Pictures (B N, 3, H, W) of uint8 images (B, N, H, W, 3)."""
        # Bytes are converted before anything else: TensorRT takes no other operator on them.
        pixels_MHW3 = images_BNHW3.to(self.mean_3.dtype).flatten(0, 1)
        # Channels first, as PyTorch has pictures by default: every ratio of the benches is against that.
        return ((pixels_MHW3 - self.mean_3) / self.std_3).permute(0, 3, 1, 2).contiguous()
