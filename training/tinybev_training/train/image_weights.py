"""The image backbone's first weights from a file, as from ImageNet, in place of seeded ones.

Files are safetensors with torchvision's names; torchvision's own are pickles, which are never read. The networks
normalise images as those of torchvision's weights are: RGB, by ImageNet's mean and deviation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tinybev.errors import UserError
from tinybev.runtime.bundle import load_bundle
from tinybev_training.train.recipe import Recipe

DIGEST = "image_weights_sha256"
"""Under which a bundle notes them, beside its recipe."""
_CLASSIFIERS = ("fc.", "classifier.")
_COUNTER = "num_batches_tracked"
"""Of batch normalisation; files of before it was counted lack it, and nothing depends on it."""


def load_image_weights(trunk: nn.Module, path: Path, network: str) -> None:
    """Replaces the weights of an image backbone by those of a file.

    Args:
        trunk: its parameters have torchvision's names, without the classifier.
        path: of the file; a classifier in it is left out.
        network: name of the network, for complaints.

    Raises:
        UserError: the file cannot be read, or is not exactly this backbone's.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"image_weights: expected a safetensors file in {path}, it cannot be read ({error}); write it from "
            "torchvision's weights as docs/training.md says."
        ) from error
    found = {name: tensor for name, tensor in found.items() if not name.startswith(_CLASSIFIERS)}
    if odd := _differing(found, trunk.state_dict()):
        raise UserError(
            f"image_weights: expected the weights of {network}'s image backbone in {path}, got others ({odd}); name "
            "those of the same backbone and width."
        )
    trunk.load_state_dict(found, strict=False)


def image_weights_digest(recipe: Recipe) -> str | None:
    """SHA-256 of the file of weights that the image backbone of a recipe's network once began with, be it in the run
    that made the bundle it starts from; None for seeded ones.

    Raises:
        UserError: the file or the bundle cannot be read.
    """
    if recipe.image_weights:
        try:
            return hashlib.sha256(Path(recipe.image_weights).read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"image_weights: {recipe.image_weights} cannot be read ({error}); name another.") from error
    noted = load_bundle(recipe.start).manifest.training.get(DIGEST) if recipe.start else None
    return noted if isinstance(noted, str) else None


def _differing(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first tensor that is absent, or too many, or of another shape; and how many there are of these."""
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.endswith(_COUNTER)}
        for tensors in (found, wanted)
    ]
    theirs, ours = shapes
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if not odd:
        return ""
    first = odd[0]
    return f"{len(odd)} tensors, {first}: {theirs.get(first, 'none')} in place of {ours.get(first, 'none')}"
