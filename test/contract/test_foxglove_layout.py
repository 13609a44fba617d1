"""The Foxglove layout shows topics that exist, and is a layout Foxglove can import."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tinybev.types import CAMERAS
from tinybev_ros import diagnostics, topics
from tinybev_ros.bringup import ARGUMENTS, share
from tinybev_ros.statistics import STAGES

NODE = "/" + next(argument.default for argument in ARGUMENTS if argument.name == "name")
MARKERS = {f"{NODE}/{result}/markers" for result in ("detections", "map_segments", "trajectories", "plan")}
OUTPUTS = MARKERS | {f"{NODE}/{result}" for result in ("detections", "occupancy", "path", "plan")}
IMAGES = {topics.camera_image_topic(camera) for camera in CAMERAS}
CALIBRATIONS = {topics.camera_info_topic(camera) for camera in CAMERAS}
INPUTS = IMAGES | CALIBRATIONS | {topics.ODOMETRY, topics.LIDAR, topics.ANNOTATIONS, topics.DRIVABLE_AREA}


@pytest.fixture(scope="module")
def layout() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(share("config/foxglove_layout.json").read_text(encoding="utf-8"))
    return loaded


def panels_of(layout: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [config for panel, config in layout["configById"].items() if panel.partition("!")[0] == kind]


def leaves(mosaic: Any, configs: dict[str, Any]) -> Iterator[str]:
    """The panels a mosaic tree places, those inside of tabs included."""
    if isinstance(mosaic, str):
        yield mosaic
        for tab in configs.get(mosaic, {}).get("tabs", []):
            yield from leaves(tab["layout"], configs)
        return
    assert set(mosaic) == {"direction", "first", "second", "splitPercentage"}
    assert mosaic["direction"] in ("row", "column")
    assert 0 < mosaic["splitPercentage"] < 100
    yield from leaves(mosaic["first"], configs)
    yield from leaves(mosaic["second"], configs)


def shown_topics(value: Any) -> Iterator[str]:
    """Every topic a panel's settings name, as a key or as the start of a message path."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key.startswith("/"):
                yield key
            yield from shown_topics(item)
    elif isinstance(value, list):
        for item in value:
            yield from shown_topics(item)
    elif isinstance(value, str) and value.startswith("/"):
        yield re.split(r"[.\[{]", value)[0]


def test_it_has_the_parts_that_foxglove_imports(layout: dict[str, Any]) -> None:
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}


def test_every_panel_is_placed_once_and_every_placed_panel_is_configured(layout: dict[str, Any]) -> None:
    placed = list(leaves(layout["layout"], layout["configById"]))
    assert sorted(placed) == sorted(layout["configById"])
    kinds = {panel.partition("!")[0] for panel in placed}
    assert kinds == {"Image", "3D", "Plot", "DiagnosticSummary", "DiagnosticStatusPanel", "RawMessages", "Tab"}


def test_it_shows_the_topics_there_are_and_no_others(layout: dict[str, Any]) -> None:
    shown = set(shown_topics(layout["configById"]))
    assert shown == INPUTS | OUTPUTS | {diagnostics.TOPIC}


def test_each_camera_has_an_image_panel_with_its_calibration_and_all_results_projected(layout: dict[str, Any]) -> None:
    images = panels_of(layout, "Image")
    pairs = [(panel["imageMode"]["imageTopic"], panel["imageMode"]["calibrationTopic"]) for panel in images]
    assert sorted(pairs) == sorted(
        (topics.camera_image_topic(name), topics.camera_info_topic(name)) for name in CAMERAS
    )
    for panel in images:
        assert {topic for topic, settings in panel["topics"].items() if settings["visible"]} == MARKERS


def test_both_3d_panels_follow_the_vehicle_and_one_looks_straight_down(layout: dict[str, Any]) -> None:
    scenes = panels_of(layout, "3D")
    assert [scene["followTf"] for scene in scenes] == [topics.BASE_FRAME] * 2
    assert sorted(scene["cameraState"]["perspective"] for scene in scenes) == [False, True]
    for scene in scenes:
        visible = {topic for topic, settings in scene["topics"].items() if settings["visible"]}
        assert visible >= MARKERS | {f"{NODE}/occupancy", f"{NODE}/path", topics.ANNOTATIONS}
        assert scene["topics"][f"{NODE}/occupancy"]["colorMode"] == "custom"


def test_the_latency_plot_reads_keys_that_the_diagnostics_have(layout: dict[str, Any]) -> None:
    paths = [path["value"] for panel in panels_of(layout, "Plot") for path in panel["paths"]]
    keys = {key for path in paths for key in re.findall(r'key=="([^"]+)"', path)}
    assert keys
    assert keys <= {key for stage in STAGES for key in diagnostics.percentile_keys(stage)}
