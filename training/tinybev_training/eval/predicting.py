"""A network run over a split, scene by scene, into a folder of predictions; what is there already is not run again."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

import tinybev
from tinybev.errors import UserError
from tinybev.runtime.code_digest import files_digest, package_files
from tinybev.runtime.options import PipelineOptions
from tinybev_training import data, teacher
from tinybev_training import eval as evaluation
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.eval.measured_network import load_measured_network
from tinybev_training.eval.missing_cameras import missing_cameras
from tinybev_training.eval.prediction_files import load_sample, save_sample
from tinybev_training.eval.predictions import Prediction
from tinybev_training.eval.predictor import MeasuredNetwork, Predictor
from tinybev_training.eval.speed import SceneTimes, Speed, device_name, read_speed, write_times
from tinybev_training.eval.submission import Submission, detection_boxes, read_submission, write_submission
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.long_work.lost_processes import explaining_lost_processes
from tinybev_training.long_work.write_file import write_text
from tinybev_training.teacher.network import check_lidar

RUN_FILE, SCENES_FOLDER = "run.json", "scenes"
TIMES_FOLDER = "times"


@dataclass(frozen=True)
class PredictionRun:
    """What is run on what.

    Attributes:
        bundle: the folder of a bundle or of a cross-modal teacher, or ``untrained:VARIANT``.
        dataroot, version, split: the samples.
        options: of the pipeline.
        folder: where the predictions go.
        missing: how many cameras every scene loses, see :func:`missing_cameras`.
        with_goals: whether the planner is told a goal point, where there is one.
    """

    bundle: str
    dataroot: Path
    version: str
    split: str
    options: PipelineOptions
    folder: Path
    missing: int = 0
    with_goals: bool = True


class ScenePredictions:
    """The predictions of a run, read when they are asked for: only the boxes of one scene are kept.

    Args:
        run: whose folder is complete.
        scenes: the scene of each sample token.
        uses_lidar: whether the network looked at lidar points.
    """

    def __init__(self, run: PredictionRun, scenes: Mapping[str, str], uses_lidar: bool = False) -> None:
        self._run, self._scenes, self.uses_lidar = run, scenes, uses_lidar
        self._boxes: tuple[str, Submission] = ("", {})

    def load(self, token: str) -> Prediction:
        """The prediction of one sample.

        Raises:
            UserError: a file is absent or damaged.
        """
        scene = self._scenes[token]
        if self._boxes[0] != scene:
            self._boxes = (scene, read_submission(_scene_file(self._run, scene)))
        boxes = self._boxes[1].get(token)
        if boxes is None:
            raise UserError(
                f"expected boxes of sample {token} in {_scene_file(self._run, scene)}, got none; remove the folder "
                "and predict again."
            )
        return load_sample(self._run.folder, token, boxes)


def predict_split(run: PredictionRun, processes: int) -> tuple[ScenePredictions, Speed | None]:
    """The predictions of a split; scenes that ``run.folder`` has already are not run again.

    The time of frames is None where none had an image.

    Raises:
        UserError: the folder holds predictions of another run, or the bundle or the dataset cannot be used.
    """
    network = load_measured_network(run.bundle)
    dataset = _open(run, network)
    scenes = _scene_numbers(dataset)
    with alone_in(run.folder):
        _claim(run, network)
        todo = [scene for scene in scenes if not _scene_file(run, scene).is_file()]
        what = f"predicting, {run.missing} cameras missing" if run.missing else "predicting"
        with (
            tqdm(total=len(scenes), initial=len(scenes) - len(todo), desc=what, unit="scene") as bar,
            explaining_lost_processes("--processes"),
        ):
            for _ in _run_scenes(run, network, dataset, todo, processes):
                bar.update()
    scene_of = {where.keyframe.token: where.scene.name for where in dataset.keyframes}
    predictions = ScenePredictions(run, scene_of, network.needs_lidar)
    return predictions, read_speed([_times_file(run, scene) for scene in scenes])


def _scene_numbers(dataset: NuScenesDataset) -> dict[str, int]:
    """The scenes in their order, numbered."""
    names = dict.fromkeys(where.scene.name for where in dataset.keyframes)
    return {name: number for number, name in enumerate(names)}


def _open(run: PredictionRun, network: MeasuredNetwork) -> NuScenesDataset:
    with_lidar = network.needs_lidar
    dataset = open_dataset(
        run.dataroot,
        run.version,
        run.split,
        keep_imageless=True,
        with_lidar=with_lidar,
        with_goals=run.with_goals,
    )
    if with_lidar:
        check_lidar(dataset, network.name)
    return dataset


def _scene_file(run: PredictionRun, scene: str) -> Path:
    return run.folder / SCENES_FOLDER / f"{scene}.json"


def _claim(run: PredictionRun, network: MeasuredNetwork) -> None:
    """Notes in the folder whose predictions it holds, or refuses if they are another run's."""
    tables = (run.dataroot / run.version / "sample_data.json").stat()
    ours = {
        "code": files_digest(package_files(tinybev, data, evaluation, teacher)),
        "weights": network.sha256(run.options),
        "dataroot": str(run.dataroot.resolve()),
        "tables": [tables.st_size, tables.st_mtime_ns],
        "version": run.version,
        "split": run.split,
        "missing_cameras": run.missing,
        "goals": run.with_goals,
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
            "weights, code, samples or options; name another folder with --save, or remove that one."
        )


def made_by(run: PredictionRun) -> dict[str, str]:
    """SHA-256 of the ``weights`` and of the ``code`` that made the predictions of ``run``, whose folder is complete."""
    told = json.loads((run.folder / RUN_FILE).read_text())
    return {name: str(told[name]) for name in ("weights", "code")}


def _run_scenes(
    run: PredictionRun, network: MeasuredNetwork, dataset: NuScenesDataset, todo: list[str], processes: int
) -> Iterator[None]:
    """Runs the scenes, and yields after each."""
    if not todo:
        return
    if processes == 1 or len(todo) < 2:
        predictor = network.predictor(dataset, run.options)
        for scene in todo:
            _predict_scene(run, dataset, predictor, scene, processes=1)
            yield
        return
    # A fresh interpreter each: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    workers = min(processes, len(todo))
    with ProcessPoolExecutor(workers, context, _start_worker, (run, workers)) as pool:
        jobs = [pool.submit(_work, scene) for scene in todo]
        try:
            for job in as_completed(jobs):
                job.result()
                yield
        finally:
            for job in jobs:
                job.cancel()


_WORKER: list[tuple[PredictionRun, NuScenesDataset, Predictor, int]] = []


def _start_worker(run: PredictionRun, processes: int) -> None:
    network = load_measured_network(run.bundle)
    dataset = _open(run, network)
    _WORKER[:] = [(run, dataset, network.predictor(dataset, run.options), processes)]


def _work(scene: str) -> None:
    run, dataset, predictor, processes = _WORKER[0]
    _predict_scene(run, dataset, predictor, scene, processes)


def _predict_scene(
    run: PredictionRun, dataset: NuScenesDataset, predictor: Predictor, scene: str, processes: int
) -> None:
    """Runs one scene from its start; its file is written last, so a scene that has one is complete."""
    predictor.reset()
    boxes, total_ms, network_ms = {}, [], []
    lost = missing_cameras(_scene_numbers(dataset)[scene], run.missing)
    for index, where in enumerate(dataset.keyframes):
        if where.scene.name != scene:
            continue
        predicted = predictor.predict(index, lost)
        if predicted.times is not None:
            total_ms.append(predicted.times.total_ms)
            network_ms.append(predicted.times.network_ms)
        save_sample(run.folder, predicted.prediction)
        boxes[predicted.prediction.token] = detection_boxes(predicted.prediction)
    times = SceneTimes(device_name(predictor.device), predictor.precision, processes, total_ms, network_ms)
    write_times(_times_file(run, scene), times)
    write_submission(_scene_file(run, scene), boxes, dataset.with_lidar)


def _times_file(run: PredictionRun, scene: str) -> Path:
    return run.folder / TIMES_FOLDER / f"{scene}.json"
