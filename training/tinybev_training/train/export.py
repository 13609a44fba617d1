"""What a finished run leaves: the bundle that the vehicle and ``tinybev eval`` read, or the folder of a teacher."""

from __future__ import annotations

import math
from pathlib import Path

from tinybev.runtime.bundle import make_bundle, save_bundle
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.teacher.stored import save_teacher
from tinybev_training.train.first_weights import BatchNetwork
from tinybev_training.train.image_weights import DIGEST
from tinybev_training.train.resume import Identity
from tinybev_training.train.typed_json import to_json


def export(network: BatchNetwork, identity: Identity, version: str, validation_loss: float, folder: Path) -> None:
    """Writes the average's network.

    Args:
        network: with the weights to write.
        identity: of the run; its recipe, and what its image backbone began with, go into the manifest.
        version: of the dataset.
        validation_loss: of the last validation; infinite where there was none.
        folder: to make.

    Raises:
        UserError: the folder exists or cannot be written.
    """
    recipe = identity.recipe
    training: dict[str, object] = {"recipe": to_json(recipe), "dataset": version}
    if identity.image_weights is not None:
        training[DIGEST] = identity.image_weights
    if isinstance(network, TeacherNetwork):
        save_teacher(network.teacher, folder, training)
        return
    trained_on = f"{version} {recipe.split}"
    if recipe.unlabelled_split:
        trained_on += f", and {recipe.unlabelled_split} without labels"
    config = network.config
    metrics = {"validation_loss": validation_loss} if math.isfinite(validation_loss) else {}
    bundle = make_bundle(
        f"{config.name}-{recipe.name}", config, network.student.state_dict(), trained_on, training, metrics
    )
    save_bundle(bundle, folder)
