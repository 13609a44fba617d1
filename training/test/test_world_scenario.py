"""Scenarios: the same seed gives the same bytes, everybody behaves, nothing overlaps what it must not."""

from __future__ import annotations

import dataclasses
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import shapely
from tinybev_training.world import street
from tinybev_training.world.cameras import rig
from tinybev_training.world.catalogue import MODELS
from tinybev_training.world.demo_scene import demo_scenario
from tinybev_training.world.generate import _coupled, _signals, absent_classes, generate_scenario
from tinybev_training.world.keyframes import label
from tinybev_training.world.memory_log import scene_log
from tinybev_training.world.polylines import Areas, Polylines
from tinybev_training.world.roads import Bend
from tinybev_training.world.scenario import (
    TICK_NS,
    PropKind,
    Scenario,
    SignalState,
    load_roads,
    load_scenario,
    save_scenario,
)

from tinybev.errors import UserError
from tinybev.types import ATTRIBUTES

BENCH_BEHIND_ROAD_M = 5.0


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, Path]:
    pytest.importorskip("libsumo", reason="needs SUMO: pip install eclipse-sumo libsumo")
    scenario = generate_scenario(1, 8.0)
    path = tmp_path_factory.mktemp("scenario") / "a.npz"
    save_scenario(path, scenario)
    return scenario, path


def test_the_same_seed_gives_the_same_bytes(generated: tuple[Scenario, Path], tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    save_scenario(again, generate_scenario(1, 8.0))
    assert again.read_bytes() == generated[1].read_bytes()


def test_what_is_written_is_read_back(generated: tuple[Scenario, Path]) -> None:
    scenario, path = generated
    back = load_scenario(path)
    assert (back.name, back.seed, back.start_ns) == (scenario.name, scenario.seed, scenario.start_ns)
    np.testing.assert_array_equal(back.agents.poses, scenario.agents.poses)
    np.testing.assert_array_equal(back.roads.drivable.rings.points, scenario.roads.drivable.rings.points)


def test_ten_classes_come_near(generated: tuple[Scenario, Path]) -> None:
    assert absent_classes(generated[0]) == []


def test_traffic_behaves(generated: tuple[Scenario, Path]) -> None:
    """Nobody jumps, vehicles go the way they look, the ego stays on the asphalt, and bodies do not run through it."""
    scenario, _ = generated
    agents = scenario.agents
    both = agents.present[1:] & agents.present[:-1]
    step = np.linalg.norm(np.diff(agents.poses[:, :, :2], axis=0), axis=2)
    assert step[both].max() < 25.0 * TICK_NS / 1e9
    poses = agents.poses[:-1]
    ahead = np.stack([np.cos(poses[..., 2]), np.sin(poses[..., 2])], axis=-1)
    forward = (np.diff(agents.poses[:, :, :2], axis=0) * ahead).sum(axis=2)
    driving = both & (step > 0.1) & np.array([MODELS[m].traffic_class not in ("", "pedestrian") for m in agents.models])
    assert driving.sum() > 50
    assert (forward[driving] > 0.9 * step[driving]).mean() > 0.99
    asphalt = shapely.union_all(scenario.roads.drivable.polygons())
    assert shapely.contains_xy(asphalt, scenario.ego[:, 0], scenario.ego[:, 1]).all()
    gap = np.linalg.norm(agents.poses[:, :, :2] - scenario.ego[:, None, :2], axis=2)
    assert gap[agents.present].min() > 1.0


def test_a_scene_has_the_traffic_lights_of_its_part_of_the_traffic() -> None:
    still = Bend(np.zeros(2), np.full(2, 200.0), np.zeros(2), 0.0, np.array([100.0, 50.0]))
    ticks = np.arange(40, dtype=np.uint8)
    signals = _signals([("b", 101.0, 52.0, 0.5), ("a", 90.0, 50.0, 0.0)], {"a": ticks, "b": ticks + 100}, still, 7, 5)
    np.testing.assert_array_equal(signals.states, [[107 + tick, 7 + tick] for tick in range(5)])
    np.testing.assert_allclose(signals.poses, [[1.0, 2.0, 0.5], [-10.0, 0.0, 0.0]], atol=1e-5)
    assert _signals([], {"a": ticks}, still, 7, 5).states.shape == (5, 0)


def test_what_a_light_is_recorded_with_it_shows_until_that_tick() -> None:
    scenario = demo_scenario()
    states = np.zeros_like(scenario.signals.states)
    states[5:] = SignalState.GREEN
    scenario = dataclasses.replace(scenario, signals=dataclasses.replace(scenario.signals, states=states))
    stamps = [scenario.start_ns + 4 * TICK_NS + late for late in (0, 1, TICK_NS)]
    shown = [int(scenario.at(stamp).signals[0]) for stamp in stamps]
    assert shown == [SignalState.RED, SignalState.GREEN, SignalState.GREEN]


def test_poses_between_ticks() -> None:
    scenario = demo_scenario()
    tick = scenario.at(scenario.start_ns + 7 * TICK_NS)
    np.testing.assert_allclose(tick.ego, scenario.ego[7], atol=1e-6)
    half = scenario.at(scenario.start_ns + 7 * TICK_NS + TICK_NS // 2)
    np.testing.assert_allclose(half.ego[:2], (scenario.ego[7, :2] + scenario.ego[8, :2]) / 2, atol=1e-5)
    late = scenario.at(scenario.end_ns + 10**9)
    np.testing.assert_allclose(late.ego, scenario.ego[-1], atol=1e-6)


def test_the_demo_scenario_is_small_and_lively() -> None:
    with resources.as_file(resources.files("tinybev_training.world") / "demo.npz") as path:
        assert path.stat().st_size < 200_000
    scenario = demo_scenario()
    assert absent_classes(scenario) == []
    assert 10 <= (scenario.end_ns - scenario.start_ns) / 1e9 <= 15
    assert np.ptp(np.unwrap(scenario.ego[:, 2])) > 1.0  # it turns
    driven = np.linalg.norm(np.diff(scenario.ego[:, :2], axis=0), axis=1).sum()
    assert driven > 60


def test_the_roads_of_an_earlier_version_are_read_and_its_scenario_is_refused(tmp_path: Path) -> None:
    whole, earlier = tmp_path / "whole.npz", tmp_path / "earlier.npz"
    save_scenario(whole, demo_scenario())
    with np.load(whole, allow_pickle=False) as arrays:
        np.savez(earlier, **{name: arrays[name] for name in arrays.files if not name.startswith("signals")})
    roads = demo_scenario().roads
    np.testing.assert_array_equal(load_roads(earlier).lines.points, roads.lines.points)
    np.testing.assert_array_equal(load_roads(earlier).drivable.rings.points, roads.drivable.rings.points)
    with pytest.raises(UserError, match="expected a scenario file"):
        load_scenario(earlier)


def test_who_sits_on_a_bench_looks_at_the_road() -> None:
    scenario = demo_scenario()
    asphalt = shapely.union_all(scenario.roads.drivable.polygons())
    benches = scenario.props.poses[scenario.props.kinds == PropKind.BENCH].astype(float)
    looked_at = 0
    bench = street.bench()
    back = bench.corners[bench.corners[..., 2] > 0.55]
    assert (back[:, 1] > 0).all()
    for x, y, yaw in benches:
        ahead = np.array([np.sin(yaw), -np.cos(yaw)])  # -y
        here, there = (asphalt.distance(shapely.Point(*(np.array([x, y]) + step * ahead))) for step in (0, 1))
        if here < BENCH_BEHIND_ROAD_M:  # the road of others is beyond the end of the world
            assert there < here - 0.9
            looked_at += 1
    assert looked_at > 0


def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="expected a scenario file"):
        load_scenario(path)


def test_a_duration_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match="--duration"):
        generate_scenario(0, 1000.0)


def test_polygons_with_holes_are_packed_and_unpacked() -> None:
    ring = shapely.Point(0, 0).buffer(5).difference(shapely.Point(0, 0).buffer(2))
    square = shapely.box(10, 10, 12, 12)
    areas = Areas.of([ring, square])
    back = areas.polygons()
    assert [round(p.area, 3) for p in back] == [round(ring.area, 3), round(square.area, 3)]
    assert len(Polylines.of([])) == 0


def test_another_seed_has_other_tokens_and_other_weather_has_the_same() -> None:
    scenario = demo_scenario()
    cut = dataclasses.replace(scenario, ego=scenario.ego[:-1])
    keys = [each.key for each in (scenario, dataclasses.replace(scenario, seed=scenario.seed + 1), cut)]
    assert len(set(keys)) == 3
    logs = [scene_log(each, rig(36, 64)) for each in (scenario, dataclasses.replace(scenario, seed=99))]
    assert not {keyframe.token for keyframe in logs[0].keyframes} & {keyframe.token for keyframe in logs[1].keyframes}


@pytest.mark.parametrize(
    ("chosen", "whole"),
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([0, 1, 3, 4], [0, 1, 4]),  # a trailer without its tractor, and nobody else
        ([0, 1, 2, 4], [0, 1, 4]),  # a tractor without its trailer
        ([3, 4], [4]),
    ],
)
def test_a_tractor_and_its_trailer_are_there_together_or_not_at_all(chosen: list[int], whole: list[int]) -> None:
    trailers = np.array([False, False, False, True, False])
    assert _coupled(np.array(chosen), trailers).tolist() == whole


def test_who_drives_slowly_is_moving_to_the_end_of_the_recording() -> None:
    scenario = demo_scenario()
    agents, ticks = scenario.agents, np.arange(len(scenario.ego))
    car = next(n for n, model in enumerate(agents.models) if MODELS[model].name == "sedan")
    poses = agents.poses.copy()
    poses[:, car] = scenario.ego[-1] + np.outer(0.6 * ticks * TICK_NS / 1e9, [1.0, 0.0, 0.0])  # half of it is standing
    present, parked = agents.present.copy(), agents.parked.copy()
    present[:, car], parked[car] = True, False
    agents = dataclasses.replace(agents, poses=poses, present=present, parked=parked)
    slow = dataclasses.replace(scenario, agents=agents)
    for stamp in (slow.end_ns - 10 * TICK_NS, slow.end_ns):
        labels = label(slow, slow.at(stamp))
        (row,) = np.flatnonzero(labels.agents == car)
        assert ATTRIBUTES[labels.attribute_ids[row]] == "vehicle.moving"
