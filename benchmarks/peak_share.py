"""What ``ROW_SHARE`` of ``tinybev/model/heads/peaks.py`` is worth: AP of the classes that stand in rows and mAP, a line
for each share; with 1 only strict local maxima are objects.

    python benchmarks/peak_share.py BUNDLE DATAROOT VERSION SPLIT

Choose by a validation split. Every share decodes the same outputs of the network, which has no memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.eval.commands import SCORE_THRESHOLD
from tinybev_training.eval.detection import detection_measures
from tinybev_training.eval.ground_truth import pose_of
from tinybev_training.eval.predictions import without_output
from tinybev_training.eval.submission import Submission, detection_boxes, write_submission
from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.model.heads.peaks import ROW_CLASSES, PeakFinder
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.decode.detection import decode_detections
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import DETECTION_CLASSES

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


def finder(count: int, share: float) -> PeakFinder:
    """Finds ``count`` peaks with another share for the classes in rows."""
    peaks = PeakFinder(count)
    for name in ROW_CLASSES:
        peaks.share_K11[DETECTION_CLASSES.index(name)] = share
    return peaks


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 0, or 2 where bundle or dataset cannot be opened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="folder or name of a bundle, like shipped:mini")
    parser.add_argument("dataroot", type=Path, help="folder of a nuScenes-format dataset")
    parser.add_argument("version", help="of the dataset, like v1.0-mini")
    parser.add_argument("split", help="of the version, like mini_val")
    args = parser.parse_args(arguments)
    try:
        print(table(args.bundle, args.dataroot, args.version, args.split))
    except UserError as error:
        print(f"peak_share: {error}", file=sys.stderr)
        return 2
    return 0


def table(spec: str, dataroot: Path, version: str, split: str) -> str:
    """Runs the network once over the split and measures each share by the devkit; the measures as Markdown.

    Raises:
        UserError: the bundle or the dataset cannot be opened.
    """
    bundle, dataset = load_bundle(spec), open_dataset(dataroot, version, split, with_lidar=False)
    preprocessor = Preprocessor(bundle.config, bundle.manifest.trained_with_ego_status is True)
    backend = open_backend(bundle, "auto", "cpu", 0)
    finders = {share: finder(bundle.config.max_agents, share) for share in SHARES}
    found: dict[float, Submission] = {share: {} for share in SHARES}
    for index in tqdm(range(len(dataset)), unit="sample"):
        seen = dataset.surroundings(index)
        outputs = backend.infer(preprocessor.prepare(seen.frame).inputs, None).detection
        for share, peaks in finders.items():
            grid, agents = bundle.config.head_grid, peaks(outputs.heatmap_BKXY)
            boxes, _ = decode_detections(outputs, agents, grid, SCORE_THRESHOLD, bundle.config.max_agents)
            prediction = replace(without_output(seen.token, pose_of(seen)), detections=boxes)
            found[share][seen.token] = detection_boxes(prediction)
    columns = ["mAP", *(f"{name}.AP" for name in ROW_CLASSES)]
    lines = [f"| share | {' | '.join(columns)} |", f"| ---: |{' ---: |' * len(columns)}"]
    nusc = open_tables(dataroot, version)
    for share, submission in found.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "detections.json"
            write_submission(path, submission)
            measures = detection_measures(nusc, split, submission, path)
        lines.append(f"| {share:g} | {' | '.join(f'{measures[name].value:.3f}' for name in columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
