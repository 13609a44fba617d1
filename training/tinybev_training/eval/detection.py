"""Detection by nuScenes' own evaluation (`DetectionEval`, configuration `detection_cvpr_2019`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.nuscenes import NuScenes

from tinybev.types import DETECTION_CLASSES
from tinybev_training.eval.devkit import official, opened
from tinybev_training.eval.measure import NOTHING, Measure, Measures, mean, ratio
from tinybev_training.eval.submission import check_tokens
from tinybev_training.eval.tables_of_split import annotated_boxes, sample_tokens

CONFIG = "detection_cvpr_2019"
TP_ERRORS = {
    "mATE": "trans_err",
    "mASE": "scale_err",
    "mAOE": "orient_err",
    "mAVE": "vel_err",
    "mAAE": "attr_err",
}


def detection_measures(
    nusc: NuScenes,
    split: str,
    boxes_of: Mapping[str, object],
    path: Path,
    also: Callable[[DetectionEval], object] = lambda evaluation: None,
) -> Measures:
    """mAP, NDS, the five errors of true positives, and the AP of each class.

    The official mean counts a class that the split does not have as AP 0 and its errors as 1, so a small split's best
    score is below 1: ``mAP`` and ``NDS`` are official and count the classes that exist, ``mAP_present`` is the mean
    over those alone. The count of a class's AP is that of its boxes in the ground truth.

    Args:
        nusc: the dataset's tables.
        split: the devkit's, or one of ``splits.json``.
        boxes_of: by sample token something that is true where ``path`` has boxes of the sample.
        path: the result file itself.
        also: is handed the devkit's evaluation with its filtered boxes, where there are any.

    Raises:
        UserError: the predictions are not those of the split, or the devkit refuses them.
    """
    check_tokens(boxes_of, sample_tokens(nusc, split), "a list of boxes")
    annotated = annotated_boxes(nusc, split)
    if not annotated or not any(boxes_of.values()):  # the devkit cannot read either
        return _all_missed(annotated)
    with opened(
        "detection",
        path,
        lambda folder: DetectionEval(nusc, config_factory(CONFIG), str(path), split, folder, verbose=False),
    ) as evaluation:
        metrics, _ = evaluation.evaluate()
        also(evaluation)
    counts = Counter(box.detection_name for box in evaluation.gt_boxes.all)
    present = len(counts)
    aps = {
        name: Measure(float(metrics.mean_dist_aps[name]), counts[name]) if counts[name] else NOTHING
        for name in DETECTION_CLASSES
    }
    return {
        "mAP": official(metrics.mean_ap, present),
        "NDS": official(metrics.nd_score, present),
        "mAP_present": mean(aps.values()),
        **{name: official(metrics.tp_errors[key], present) for name, key in TP_ERRORS.items()},
        **{f"{name}.AP": ap for name, ap in aps.items()},
    }


def _all_missed(annotated: Counter[str]) -> Measures:
    """Where not a single box is predicted: whatever is annotated was missed, and no error can be told."""
    aps = {name: ratio(0.0, annotated[name]) for name in DETECTION_CLASSES}
    return {
        **{name: ratio(0.0, len(annotated)) for name in ("mAP", "NDS", "mAP_present")},
        **dict.fromkeys(TP_ERRORS, NOTHING),
        **{f"{name}.AP": ap for name, ap in aps.items()},
    }
