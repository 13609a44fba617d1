"""Lightning's door to checkpoint files: where its Trainer would pickle, it writes and reads ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from tinybev_training.train.checkpoint_file import read_checkpoint, write_checkpoint


class SafetensorsIO(CheckpointIO):
    """Saves and loads what the Trainer keeps as safetensors; never unpickles."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Writes the Trainer's state; the file is there as a whole or not at all."""
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Reads it, tensors on the CPU; the Trainer moves them.

        Raises:
            UserError: the file is missing, damaged, or not a checkpoint.
        """
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes the file."""
        Path(path).unlink(missing_ok=True)
