"""Traffic lights show what the traffic obeys, in the pictures too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tinybev_training.world.cameras import rig
from tinybev_training.world.demo_scene import WEATHER, demo_scenario
from tinybev_training.world.network import generate_network
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.render import render_camera
from tinybev_training.world.scenario import SignalState
from tinybev_training.world.traffic import simulate
from tinybev_training.world.world import build_world

SECOND = 20
"""Ticks."""


def test_nobody_drives_straight_on_at_red(tmp_path: Path) -> None:
    pytest.importorskip("libsumo", reason="needs SUMO: pip install eclipse-sumo libsumo")
    rng = np.random.default_rng(8)
    network = generate_network(tmp_path, rng)
    traffic = simulate(network, rng, 15.0)
    shown = []
    for lane in network.lanes:
        if lane.kind != "drive" or lane.edge not in traffic.signals:
            continue
        ahead = lane.line[-1] - lane.line[-2]
        ahead = ahead / np.linalg.norm(ahead)
        for track in traffic.tracks:
            beyond = (track.points - lane.line[-1]) @ ahead
            beside = np.abs((track.points - lane.line[-1]) @ np.array([-ahead[1], ahead[0]]))
            for tick in np.flatnonzero((beyond[:-1] < 0) & (beyond[1:] >= 0) & (beside[:-1] < 0.4 * lane.width)):
                later = track.yaws[tick : tick + 4 * SECOND]
                on_the_lane = np.cos(track.yaws[tick] - np.arctan2(ahead[1], ahead[0])) > 0.95
                if on_the_lane and len(later) == 4 * SECOND and np.ptp(np.unwrap(later)) < 0.3:
                    shown.append(int(traffic.signals[lane.edge][track.first_tick + tick + 1]))
    counts = {state: shown.count(int(state)) for state in SignalState}
    assert counts[SignalState.RED] == 0
    assert counts[SignalState.GREEN] >= 5
    states = np.concatenate(list(traffic.signals.values()))
    assert set(states.tolist()) == set(map(int, SignalState))


def test_the_picture_shows_the_colour() -> None:
    scenario = demo_scenario()
    camera = rig(180, 320)[0]
    stamp = scenario.start_ns + 2_000_000_000
    pictures = {}
    for state in SignalState:
        signals = dataclasses.replace(scenario.signals, states=np.full_like(scenario.signals.states, state))
        with one_thread():
            world = build_world(dataclasses.replace(scenario, signals=signals), WEATHER)
            pictures[state] = render_camera(world, camera, stamp).rgb.astype(int)
    differs = (pictures[SignalState.RED] != pictures[SignalState.GREEN]).any(axis=2)
    assert 0 < differs.mean() < 0.01  # the lamps and nothing else
    reds, yellows, greens = (pictures[state].reshape(-1, 3) for state in SignalState)
    changed = (reds != yellows).any(axis=1) | (reds != greens).any(axis=1)
    red, yellow, green = reds[changed], yellows[changed], greens[changed]
    assert (red[:, 0] - red[:, 1]).max() > 60
    assert (green[:, 1] - green[:, 0]).max() > 60
    assert ((yellow[:, 0] > 150) & (yellow[:, 1] > 100) & (yellow[:, 2] < 100)).any()
