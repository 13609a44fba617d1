"""Which samples and boxes a split consists of, as nuScenes' own evaluation sees it."""

from __future__ import annotations

from collections import Counter

from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes

from tinybev_training.data.tables import scenes_of_split


def sample_tokens(nusc: NuScenes, split: str) -> tuple[str, ...]:
    """The tokens of the samples of those of the split's scenes that the tables have, in the tables' order.

    Raises:
        UserError: there is no such split.
    """
    names = set(scenes_of_split(nusc, split))
    scenes = {scene["token"] for scene in nusc.scene if scene["name"] in names}
    return tuple(sample["token"] for sample in nusc.sample if sample["scene_token"] in scenes)


def annotated_boxes(nusc: NuScenes, split: str) -> Counter[str]:
    """How many boxes the split's annotations have of each detection class, at any distance."""
    annotations = (token for sample in sample_tokens(nusc, split) for token in nusc.get("sample", sample)["anns"])
    names = (category_to_detection_name(nusc.get("sample_annotation", token)["category_name"]) for token in annotations)
    return Counter(name for name in names if name is not None)
