"""Tracking by nuScenes' own evaluation (`TrackingEval`, configuration `tracking_nips_2019`)."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from nuscenes.eval.common.config import config_factory
from nuscenes.eval.tracking.evaluate import TrackingEval
from nuscenes.nuscenes import NuScenes

from tinybev_training.eval.devkit import official, opened
from tinybev_training.eval.measure import NOTHING, Measures, ratio
from tinybev_training.eval.submission import TRACKING_CLASSES, check_tokens
from tinybev_training.eval.tables_of_split import annotated_boxes, sample_tokens

CONFIG = "tracking_nips_2019"
MEANS = ("AMOTA", "AMOTP", "MOTAR", "MOTA", "MOTP", "recall", "FAF", "TID", "LGD")
SUMS = ("MT", "ML", "TP", "FP", "FN", "IDS", "FRAG")
NAMES = MEANS + SUMS


def tracking_measures(
    nusc: NuScenes,
    split: str,
    boxes_of: Mapping[str, object],
    path: Path,
    also: Callable[[TrackingEval], object] = lambda evaluation: None,
) -> Measures:
    """AMOTA, AMOTP, the traditional measures, and the AMOTA of each class.

    The official mean leaves out classes that the split does not have. The count of a class's AMOTA is that of its boxes
    in the ground truth, after the devkit has filled gaps; the count of a mean is that of the classes.

    Args:
        nusc: the dataset's tables.
        split: the devkit's, or one of ``splits.json``.
        boxes_of: by sample token something that is true where ``path`` has boxes of the sample.
        path: the result file itself.
        also: is handed the devkit's evaluation with its filtered tracks, where there are any.

    Raises:
        UserError: the predictions are not those of the split, or the devkit refuses them.
    """
    check_tokens(boxes_of, sample_tokens(nusc, split), "a list of tracked boxes")
    boxes = annotated_boxes(nusc, split)
    annotated = [name for name in TRACKING_CLASSES if boxes[name]]
    if not annotated or not any(boxes_of.values()):  # the devkit cannot read either; whatever there is was missed
        return dict.fromkeys(NAMES, NOTHING) | {"AMOTA": ratio(0.0, len(annotated))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means over classes without tracks
        with opened(
            "tracking",
            path,
            lambda folder: TrackingEval(
                config_factory(CONFIG), str(path), split, folder, nusc.version, nusc.dataroot, verbose=False
            ),
        ) as evaluation:
            metrics, _ = evaluation.evaluate()
            means = {name: metrics.compute_metric(name.lower()) for name in NAMES}
            also(evaluation)
    counts = Counter(
        box.tracking_name for scene in evaluation.tracks_gt.values() for tracks in scene.values() for box in tracks
    )
    return {
        **{name: official(value, len(counts)) for name, value in means.items()},
        **{f"{name}.AMOTA": official(metrics.label_metrics["amota"][name], counts[name]) for name in TRACKING_CLASSES},
    }
