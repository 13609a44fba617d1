"""What every scene adds to the figures that are no sums over scenes, so that they can be taken for any set of scenes.

Kept beside the JSON file of a run as ``NAME.scenes.npz``: arrays only, nothing that would have to be unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev_training.eval.detection_matches import ClassMatches, detection_figures
from tinybev_training.eval.detection_rings import RingMatches, SceneRings, ring_figures, scene_rings
from tinybev_training.eval.evaluate import UNIAD_MOTION_CLASS, SampleScores
from tinybev_training.eval.map_iou import MapCells, map_measures
from tinybev_training.eval.measure import Measures
from tinybev_training.eval.motion import MOTION_CLASSES, MotionErrors, joined, motion_measures
from tinybev_training.eval.occupancy import REGIONS, OccupancyScore, SampleOccupancy, occupancy_measures
from tinybev_training.eval.tracking_states import SceneStates, tracking_figures
from tinybev_training.long_work.write_file import write_binary

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class SceneStatistics:
    """Of S scenes.

    Attributes:
        scenes: their names.
        detection: by class; empty where no box was evaluated.
        rings: by merged class and distance; empty in files of before they were kept.
        tracking: by class, for each scene; empty where no track was evaluated.
        motion: by merged class, for each scene.
        map: for each scene.
        occupancy: for each scene.
    """

    scenes: tuple[str, ...]
    detection: Mapping[str, ClassMatches]
    rings: Mapping[str, SceneRings]
    tracking: Mapping[str, tuple[SceneStates, ...]]
    motion: Mapping[str, tuple[MotionErrors, ...]]
    map: tuple[MapCells, ...]
    occupancy: tuple[SampleOccupancy, ...]


def statistics_of(
    scenes: Sequence[str],
    samples: Sequence[SampleScores],
    detection: Mapping[str, ClassMatches],
    tracking: Mapping[str, tuple[SceneStates, ...]],
) -> SceneStatistics:
    """Sums the samples up, scene by scene."""
    grouped = [[sample for sample in samples if sample.scene == scene] for scene in scenes]
    return SceneStatistics(
        scenes=tuple(scenes),
        detection=detection,
        rings=scene_rings([[sample.rings for sample in group] for group in grouped]),
        tracking=tracking,
        motion={
            name: tuple(joined([each.motion[name] for each in group if each.motion is not None]) for group in grouped)
            for name in MOTION_CLASSES
        },
        map=tuple(MapCells.summed([each.map for each in group if each.map is not None]) for group in grouped),
        occupancy=tuple(
            _sum_occupancy([each.occupancy for each in group if each.occupancy is not None]) for group in grouped
        ),
    )


def drawn_figures(statistics: SceneStatistics, drawn: NDArray[np.int64]) -> dict[str, float]:
    """The figures, as TASK.NAME, where scene s is there ``drawn[s]`` times; NaN where there is nothing to measure."""
    scenes = np.repeat(np.arange(len(drawn)), drawn)
    figures: dict[str, float] = {}
    if statistics.detection:
        figures |= _named("detection.", detection_figures(statistics.detection, drawn))
    rings = ring_figures(statistics.rings, drawn)
    figures |= _named("rings.", {name: figure for name, (figure, _) in rings.items()})
    if statistics.tracking:
        figures |= _named("tracking.", tracking_figures(statistics.tracking, drawn))
    for name, errors in statistics.motion.items():
        prefix = "motion." if name == UNIAD_MOTION_CLASS else f"motion.{name}."
        figures |= _named(prefix, _values(motion_measures([errors[scene] for scene in scenes])))
    figures |= _named("map.", _values(map_measures([statistics.map[scene] for scene in scenes])))
    return figures | _named(
        "occupancy.", _values(occupancy_measures([statistics.occupancy[scene] for scene in scenes]))
    )


def statistics_file(json_file: Path) -> Path:
    """Where the statistics of the run whose figures are in ``json_file`` are."""
    return json_file.with_suffix(".scenes.npz")


def write_statistics(path: Path, statistics: SceneStatistics) -> None:
    """Writes them, at once or not at all."""
    arrays: Arrays = {"scenes": np.array(statistics.scenes)}
    for name, matches in statistics.detection.items():
        _pack(arrays, f"detection/{name}", matches)
    for name, rings in statistics.rings.items():
        _pack(arrays, f"rings/{name}", rings.matches)
        arrays[f"rings/{name}/scenes"] = rings.scenes
    for name, states in statistics.tracking.items():
        for number, state in enumerate(states):
            _pack(arrays, f"tracking/{name}/{number}", state)
    for name, errors in statistics.motion.items():
        for number, error in enumerate(errors):
            _pack(arrays, f"motion/{name}/{number}", error)
    for number, cells in enumerate(statistics.map):
        _pack(arrays, f"map/{number}", cells)
    for number, score in enumerate(statistics.occupancy):
        for region in REGIONS:
            _pack(arrays, f"occupancy/{number}/{region}", getattr(score, region))
    write_binary(path, lambda file: np.savez_compressed(file, **arrays))


def read_statistics(path: Path) -> SceneStatistics:
    """Reads what :func:`write_statistics` wrote.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        scenes = tuple(str(name) for name in arrays["scenes"])
        numbers = range(len(scenes))
        return SceneStatistics(
            scenes=scenes,
            detection={
                name: _unpack(arrays, f"detection/{name}", ClassMatches) for name in _names(arrays, "detection")
            },
            rings={
                name: SceneRings(_unpack(arrays, f"rings/{name}", RingMatches), arrays[f"rings/{name}/scenes"])
                for name in _names(arrays, "rings")
            },
            tracking={
                name: tuple(_unpack(arrays, f"tracking/{name}/{n}", SceneStates) for n in numbers)
                for name in _names(arrays, "tracking")
            },
            motion={
                name: tuple(_unpack(arrays, f"motion/{name}/{n}", MotionErrors) for n in numbers)
                for name in _names(arrays, "motion")
            },
            map=tuple(_unpack(arrays, f"map/{n}", MapCells) for n in numbers),
            occupancy=tuple(
                SampleOccupancy(*(_unpack(arrays, f"occupancy/{n}/{region}", OccupancyScore) for region in REGIONS))
                for n in numbers
            ),
        )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {error}); evaluate again, or remove it to compare without."
        ) from error


def _values(measures: Measures) -> dict[str, float]:
    return {name: measure.value if measure.valid else float("nan") for name, measure in measures.items()}


def _named(prefix: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in figures.items()}


def _sum_occupancy(scores: Sequence[SampleOccupancy]) -> SampleOccupancy:
    regions = []
    for region in REGIONS:
        found = [getattr(score, region) for score in scores]
        sums = {field.name: sum(getattr(score, field.name) for score in found) for field in fields(OccupancyScore)}
        regions.append(OccupancyScore(**sums))
    return SampleOccupancy(*regions)


def _pack(arrays: Arrays, prefix: str, record: Any) -> None:
    for field in fields(record):
        arrays[f"{prefix}/{field.name}"] = np.asarray(getattr(record, field.name))


def _unpack(arrays: Arrays, prefix: str, kind: type[Any]) -> Any:
    """A dataclass of arrays and numbers; arrays without a dimension are numbers."""
    values = {field.name: arrays[f"{prefix}/{field.name}"] for field in fields(kind)}
    return kind(**{name: value if value.ndim else value.item() for name, value in values.items()})


def _names(arrays: Arrays, task: str) -> list[str]:
    return list(dict.fromkeys(key.split("/")[1] for key in arrays if key.startswith(f"{task}/")))
