"""The samples of a run: annotated ones, ones on which only the teacher speaks, and those that are validated on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tinybev.model.config import StudentConfig
from tinybev_training.data.cache import ImageCache
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.targets import TargetGrids
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.train.place import Place
from tinybev_training.train.recipe import Recipe


@dataclass(frozen=True)
class Needs:
    """What networks want of a sample besides its images: lidar points, and earlier keyframes."""

    lidar: bool
    past_frames: int


@dataclass(frozen=True)
class Splits:
    """Opened and ready to load.

    Attributes:
        source: of the training samples.
        training: the labelled examples, then the unlabelled ones.
        labelled: how many are labelled.
        validation: examples of the validation split, not augmented; None for none.
        tokens: of the training samples.
    """

    source: NuScenesDataset
    training: TrainingSet
    labelled: int
    validation: TrainingSet | None
    tokens: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of the training samples and their order; a run can only go on with the same."""
        return hashlib.sha256("\n".join([str(self.labelled), *self.tokens]).encode()).hexdigest()


def open_splits(recipe: Recipe, place: Place, config: StudentConfig, needs: Needs, progress: bool) -> Splits:
    """Opens the splits that a recipe names.

    Args:
        recipe: names them.
        place: where they are.
        config: image size and grid of the network.
        needs: of the network, and of the one that teaches it.
        progress: whether bars are shown.

    Raises:
        UserError: the dataset or a split is not there, or there is nothing in it.
    """
    size = config.image_size
    cache = ImageCache(place.cache, recipe.samples.cache_size) if recipe.samples.cache_size else None

    def opened(split: str) -> NuScenesDataset:
        return open_dataset(
            place.dataroot,
            place.version,
            split,
            grids=TargetGrids(map=config.grid, occupancy=config.grid),
            with_lidar=needs.lidar,
            cache=cache,
            progress=progress,
        )

    source = opened(recipe.split)
    labelled = len(source)
    if recipe.unlabelled_split:
        unlabelled = opened(recipe.unlabelled_split)
        source = replace(
            source, keyframes=source.keyframes + unlabelled.keyframes, maps={**source.maps, **unlabelled.maps}
        )
    validation = opened(recipe.validation_split) if recipe.validation_split else None
    return Splits(
        source,
        TrainingSet(source, size, recipe.samples.augmentation, recipe.seed, needs.past_frames),
        labelled,
        None if validation is None else TrainingSet(validation, size, past_frames=needs.past_frames),
        tuple(where.keyframe.token for where in source.keyframes),
    )
