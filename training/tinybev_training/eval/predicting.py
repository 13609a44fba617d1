"""A bundle run over a split, scene by scene, into a folder of predictions; what is there already is not run again."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.pipeline import Pipeline, PipelineOptions
from tinybev.types import CAMERAS
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.eval.ground_truth import pose_of
from tinybev_training.eval.prediction_files import load_sample, save_sample
from tinybev_training.eval.predictions import Prediction, from_results, without_output
from tinybev_training.eval.submission import detection_boxes, read_submission, write_submission
from tinybev_training.eval.write_file import write_text

RUN_FILE, SCENES_FOLDER = "run.json", "scenes"
TIMES_FOLDER = "times"


@dataclass(frozen=True)
class PredictionRun:
    """What is run on what.

    Attributes:
        bundle: the folder of a bundle, or ``untrained:VARIANT``.
        dataroot, version, split: the samples.
        options: of the pipeline.
        folder: where the predictions go.
    """

    bundle: str
    dataroot: Path
    version: str
    split: str
    options: PipelineOptions
    folder: Path


@dataclass(frozen=True)
class Speed:
    """How long frames took: of ``frames``, mean milliseconds of the whole pipeline and of the network, and where."""

    frames: int
    total_ms: float
    network_ms: float
    device: str


def predict_split(run: PredictionRun, processes: int) -> tuple[dict[str, Prediction], Speed | None]:
    """The predictions by sample token; scenes that ``run.folder`` has already are read, the others are run.

    The time of frames is None where none had an image.

    Raises:
        UserError: the folder holds predictions of another run, or the bundle or the dataset cannot be used.
    """
    dataset = _open(run)
    _claim(run)
    scenes = {where.scene.name: None for where in dataset.keyframes}
    todo = [scene for scene in scenes if not _scene_file(run, scene).is_file()]
    with tqdm(total=len(scenes), initial=len(scenes) - len(todo), desc="predicting", unit="scene") as bar:
        for _ in _run_scenes(run, dataset, todo, processes):
            bar.update()
    predictions = {
        token: load_sample(run.folder, token, boxes)
        for scene in scenes
        for token, boxes in read_submission(_scene_file(run, scene)).items()
    }
    return predictions, _speed(run, list(scenes))


def _open(run: PredictionRun) -> NuScenesDataset:
    return open_dataset(run.dataroot, run.version, run.split, keep_imageless=True, with_lidar=False)


def _scene_file(run: PredictionRun, scene: str) -> Path:
    return run.folder / SCENES_FOLDER / f"{scene}.json"


def _claim(run: PredictionRun) -> None:
    """Notes in the folder whose predictions it holds, or refuses if they are another run's."""
    info = load_bundle(run.bundle).info
    ours = {
        "weights": info.sha256,
        "version": run.version,
        "split": run.split,
        "options": {key: value for key, value in asdict(run.options).items() if key not in ("device", "threads")},
    }
    path = run.folder / RUN_FILE
    if not path.is_file():
        write_text(path, json.dumps(ours, indent=1) + "\n")
        return
    try:
        theirs = json.loads(path.read_text())
    except (OSError, ValueError):
        theirs = None
    if theirs != ours:
        raise UserError(
            f"expected an empty folder or predictions of this very run in {run.folder}, its {RUN_FILE} names other "
            "weights, samples or options; name another folder with --save, or remove that one."
        )


def _run_scenes(run: PredictionRun, dataset: NuScenesDataset, todo: list[str], processes: int) -> Iterator[None]:
    """Runs the scenes, and yields after each."""
    if processes == 1 or len(todo) < 2:
        pipeline = Pipeline(load_bundle(run.bundle), run.options)
        for scene in todo:
            _predict_scene(run, dataset, pipeline, scene)
            yield
        return
    # A fresh interpreter each: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(todo)), context, _start_worker, (run,)) as pool:
        jobs = [pool.submit(_work, scene) for scene in todo]
        try:
            for job in as_completed(jobs):
                job.result()
                yield
        finally:
            for job in jobs:
                job.cancel()


_WORKER: list[tuple[PredictionRun, NuScenesDataset, Pipeline]] = []


def _start_worker(run: PredictionRun) -> None:
    _WORKER[:] = [(run, _open(run), Pipeline(load_bundle(run.bundle), run.options))]


def _work(scene: str) -> None:
    run, dataset, pipeline = _WORKER[0]
    _predict_scene(run, dataset, pipeline, scene)


def _predict_scene(run: PredictionRun, dataset: NuScenesDataset, pipeline: Pipeline, scene: str) -> None:
    """Runs one scene from its start; its file is written last, so a scene that has one is complete."""
    pipeline.reset()
    boxes, times = {}, []
    for index, where in enumerate(dataset.keyframes):
        if where.scene.name != scene:
            continue
        surroundings = dataset.surroundings(index)
        token, pose = surroundings.token, pose_of(surroundings)
        if len(surroundings.frame.missing) == len(CAMERAS):
            prediction = without_output(token, pose)
        else:
            results = pipeline.run(surroundings.frame)
            prediction = from_results(token, pose, results)
            times.append([results.times.total, results.times.network])
        save_sample(run.folder, prediction)
        boxes[token] = detection_boxes(prediction)
    write_text(_times_file(run, scene), json.dumps({"device": pipeline.device, "ms": times}))
    write_submission(_scene_file(run, scene), boxes)


def _times_file(run: PredictionRun, scene: str) -> Path:
    return run.folder / TIMES_FOLDER / f"{scene}.json"


def _speed(run: PredictionRun, scenes: list[str]) -> Speed | None:
    records = [json.loads(_times_file(run, scene).read_text()) for scene in scenes]
    times = [pair for record in records for pair in record["ms"]]
    if not times:
        return None
    devices = sorted({record["device"] for record in records})
    total, network = (sum(column) / len(times) for column in zip(*times, strict=True))
    return Speed(len(times), total, network, ", ".join(devices))
