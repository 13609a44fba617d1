"""Many scenes -> one nuScenes-format dataset, scene by scene, so that a run that was killed goes on where it stopped.

A finished scene leaves its rows under ``.world/``; the version folder is made from all of them at the very end and
appears at once. What is under ``.world/`` is whole or not there, what is in the version folder is complete.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import tinybev_training.world
from tinybev.errors import UserError
from tinybev.runtime.code_digest import files_digest, package_files
from tinybev.types import ATTRIBUTES
from tinybev_training.long_work.write_file import write_text
from tinybev_training.world.catalogue import MODELS
from tinybev_training.world.generate import MARGIN_M, generate_scenario
from tinybev_training.world.keyframes import FIRST_KEYFRAME_NS, KEYFRAME_NS
from tinybev_training.world.map_writer import MapExpansion, PlacedRoads, write_map_picture
from tinybev_training.world.recording import Recording
from tinybev_training.world.scenario import Scenario, check_duration, load_roads, save_scenario
from tinybev_training.world.scene_writer import write_scene
from tinybev_training.world.tables import Rows, sensor_rows, token
from tinybev_training.world.weather import draw_weather, with_strengths

VERSION = "v1.0-world"
TRAIN, VAL = "world_train", "world_val"
VAL_EVERY = 5
"""Every fifth scene is for validation."""
LOCATIONS = ("boston-seaport", "singapore-queenstown", "singapore-hollandvillage", "singapore-onenorth")
"""The devkit refuses any other place, so the world borrows their names; nothing of the places is in it."""
_RANGE = re.compile(r"(\w+)=(\d+)-(\d+)")
TILES_PER_PLACE = (4, 4)
TOP_SPEED_MPS = 15.0


@dataclass(frozen=True)
class Order:
    """What dataset is asked for: the scenes depend on this and nothing else.

    Attributes:
        seed: of everything.
        duration_s: of a scene.
        recording: rates and sizes.
        weather: ``NAME=STRENGTH`` that hold for every scene, in place of what is drawn.
    """

    seed: int = 0
    duration_s: float = 20.0
    recording: Recording = field(default_factory=Recording)
    weather: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_duration(self.duration_s)
        with_strengths(draw_weather(np.random.default_rng(0)), list(self.weather))  # refuses what it does not know

    @property
    def tile_m(self) -> float:
        """Side of the square that a scene is given on the map: no two can touch."""
        return float(np.ceil(2 * (MARGIN_M + 20) + TOP_SPEED_MPS * self.duration_s))

    @property
    def keyframes(self) -> int:
        """Keyframes in a scene."""
        return int((self.duration_s * 1e9 - FIRST_KEYFRAME_NS) // KEYFRAME_NS) + 1


def scene_name(index: int) -> str:
    """The name of scene ``index``."""
    return f"world-{index:04d}"


def tile_of(index: int, tile_m: float) -> tuple[str, tuple[float, float]]:
    """The place whose name scene ``index`` borrows, and the (x, y) of its origin on that map."""
    columns, rows = TILES_PER_PLACE
    block, cell = divmod(index, columns * rows)
    turn, place = divmod(block, len(LOCATIONS))
    x, y = cell % columns, cell // columns + turn * rows
    return LOCATIONS[place], ((x + 0.5) * tile_m, (y + 0.5) * tile_m)


def is_val(index: int, scenes: int) -> bool:
    """Whether scene ``index`` of ``scenes`` is for validation: every fifth, or the last one of fewer than five."""
    return index % VAL_EVERY == VAL_EVERY - 1 if scenes >= VAL_EVERY else index == scenes - 1


def begin(root: Path, order: Order) -> None:
    """Makes the folder, or makes sure that what is in it was ordered alike.

    Raises:
        UserError: the folder holds a dataset of another order, or something else.
    """
    work = root / ".world"
    wanted = json.dumps(asdict(order), sort_keys=True)
    file = work / "order.json"
    if file.is_file():
        if file.read_text() != wanted:
            raise UserError(
                f"{root} holds scenes made with other options ({file.read_text()}); give the same options to go on, or "
                "another --out."
            )
        return
    # One that was killed right here may have left the folder, or a part of the file.
    begun = {work, *work.glob(".*.partial")}
    if root.exists() and not begun.issuperset((*root.iterdir(), *(work.iterdir() if work.is_dir() else ()))):
        raise UserError(
            f"expected an empty folder or one of `tinybev world`'s, but {root} holds something else; choose another."
        )
    work.mkdir(parents=True, exist_ok=True)
    write_text(file, wanted)


def drawing_code() -> str:
    """Digest of the code of the world: other code may draw other scenes."""
    return files_digest(package_files(tinybev_training.world))


def keep_to_one_code(root: Path) -> None:
    """Notes which code draws what is missing in a begun folder, and makes sure that the same has drawn what is there.

    Raises:
        UserError: other code has.
    """
    file, digest = root / ".world" / "code.txt", drawing_code()
    if file.is_file() and file.read_text() == digest:
        return
    if any((root / ".world").glob("world-*.json")):
        raise UserError(
            f"{root} holds scenes that another version of the synthetic world has drawn, and a mixture would be "
            "neither; finish them with that version, or give another --out."
        )
    write_text(file, digest)


def is_finished(root: Path, index: int) -> bool:
    """Whether scene ``index`` is there, whole."""
    return _rows_file(root, scene_name(index)).is_file()


def make_scene(
    root: Path, order: Order, index: int, progress: Callable[[], object] = lambda: None, processes: int = 1
) -> None:
    """Generates and renders scene ``index``; at the end of it the scene counts as finished."""
    seed = order.seed * 10_000 + index
    scenario = generate_scenario(seed, order.duration_s, scene_name(index))
    rng = np.random.default_rng([seed, 77])
    weather = with_strengths(draw_weather(rng), list(order.weather))
    location, origin = tile_of(index, order.tile_m)
    rows = write_scene(root, scenario, weather, order.recording, location, origin, progress, processes)
    finish_scene(root, scenario, rows)


def finish_scene(root: Path, scenario: Scenario, rows: Rows) -> None:
    """Keeps the rows of a scene whose files are all written; its roads are in the scenario beside them."""
    save_scenario(root / ".world" / f"{scenario.name}.npz", scenario)
    write_text(_rows_file(root, scenario.name), json.dumps(rows))


def assemble(
    root: Path, scenes: Sequence[tuple[str, str, tuple[float, float]]], splits: dict[str, list[str]], tile_m: float
) -> None:
    """Makes the version folder and the maps from finished scenes.

    Args:
        root: of the dataset.
        scenes: name, place and origin on the map of each.
        splits: name of the split to names of its scenes.
        tile_m: side of a scene's square on the map.
    """
    tables: Rows = {
        name: []
        for name in (
            "log",
            "scene",
            "sample",
            "calibrated_sensor",
            "ego_pose",
            "sample_data",
            "instance",
            "sample_annotation",
        )
    }
    for name, _, _ in scenes:
        for table, rows in json.loads(_rows_file(root, name).read_text()).items():
            tables[table] += rows
    tables["sensor"] = sensor_rows()
    tables["category"] = [
        {"token": token("category", name), "name": name, "description": ""}
        for name in dict.fromkeys(model.category for model in MODELS)
    ]
    tables["attribute"] = [{"token": token("attribute", name), "name": name, "description": ""} for name in ATTRIBUTES]
    tables["visibility"] = [
        {"token": str(level), "level": text, "description": ""}
        for level, text in enumerate(("v0-40", "v40-60", "v60-80", "v80-100"), start=1)
    ]
    tables["map"] = _write_maps(root, scenes, tables, tile_m)
    partial, final = root / f".{VERSION}.partial", root / VERSION
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, rows in tables.items():
        (partial / f"{name}.json").write_text(json.dumps(rows, indent=0))
    (partial / "splits.json").write_text(json.dumps(splits, indent=2))
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)


def _write_maps(
    root: Path, scenes: Sequence[tuple[str, str, tuple[float, float]]], tables: Rows, tile_m: float
) -> list[dict[str, object]]:
    expansion = root / "maps" / "expansion"
    expansion.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for location in dict.fromkeys(place for _, place, _ in scenes):
        placed = [
            PlacedRoads(name, load_roads(root / ".world" / f"{name}.npz"), origin)
            for name, place, origin in scenes
            if place == location
        ]
        canvas = tuple(max(item.origin[axis] for item in placed) + tile_m / 2 for axis in (0, 1))
        made = MapExpansion((canvas[0], canvas[1]))
        for item in placed:
            made.add(item)
        write_text(expansion / f"{location}.json", json.dumps(made.content))
        picture = Path("maps") / f"{token('map', location)}.png"
        write_map_picture(root / picture, placed, (canvas[0], canvas[1]))
        logs = [row["token"] for row in tables["log"] if row["location"] == location]
        rows.append(
            {
                "token": token("map", location),
                "category": "semantic_prior",
                "filename": picture.as_posix(),
                "log_tokens": logs,
            }
        )
    return rows


def default_splits(scenes: int) -> dict[str, list[str]]:
    """``world_train`` and ``world_val`` of a dataset of so many scenes."""
    return {
        TRAIN: [scene_name(index) for index in range(scenes) if not is_val(index, scenes)],
        VAL: [scene_name(index) for index in range(scenes) if is_val(index, scenes)],
    }


def named_splits(ranges: Sequence[str], scenes: int) -> dict[str, list[str]]:
    """Splits of a dataset of so many scenes, from ``NAME=FIRST-LAST``; they may overlap.

    Raises:
        UserError: a range is malformed, names a split twice, or reaches beyond the scenes.
    """
    splits: dict[str, list[str]] = {}
    for text in ranges:
        found = _RANGE.fullmatch(text)
        first, last = (int(found[2]), int(found[3])) if found else (0, -1)
        if found is None or found[1] in splits or not first <= last < scenes:
            raise UserError(
                f"--splits {text}: expected NAME=FIRST-LAST, each name once, within the scenes 0-{scenes - 1}; "
                "correct it."
            )
        splits[found[1]] = [scene_name(index) for index in range(first, last + 1)]
    return splits


def _rows_file(root: Path, name: str) -> Path:
    return root / ".world" / f"{name}.json"
