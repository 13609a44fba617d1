"""Runs side by side: what the intervals are of, and that runs are paired scene by scene."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from made_scenes import statistics
from tinybev_training.eval.compare import (
    ComparedRun,
    bootstrap,
    comparison,
    drawn_figures_of,
    drawn_intervals,
    is_summed,
    read_run,
)
from tinybev_training.eval.measure import Measure, mean, ratio
from tinybev_training.eval.results_file import Evaluation, read_evaluation, write_evaluation
from tinybev_training.eval.scene_statistics import drawn_figures, statistics_file, write_statistics
from tinybev_training.eval.table import published_table

from tinybev.errors import UserError


def evaluation(errors: dict[str, float], counts: dict[str, int] | None = None) -> Evaluation:
    """With one planning figure, by scene."""
    numbers = counts or dict.fromkeys(errors, 10)
    scenes = {scene: {"planning": {"uniad.L2_3s": Measure(e, numbers[scene])}} for scene, e in errors.items()}
    total = sum(numbers.values())
    whole = sum(errors[scene] * numbers[scene] for scene in errors) / total
    return Evaluation(
        {"split": "mine"},
        {"planning": {"uniad.L2_3s": Measure(whole, total)}, "detection": {"mAP": Measure(math.nan, 0)}},
        scenes,
    )


def test_figures_survive_the_file(tmp_path: Path) -> None:
    expected = evaluation({"a": 1.0, "b": 2.0})
    write_evaluation(tmp_path / "f.json", expected)
    found = read_evaluation(tmp_path / "f.json")
    assert found.tasks["planning"] == expected.tasks["planning"]
    assert found.scenes == expected.scenes
    assert not found.tasks["detection"]["mAP"].valid
    assert "NaN" not in (tmp_path / "f.json").read_text()


def test_intervals_cover_the_spread_of_scenes_and_pair_the_runs() -> None:
    rng = np.random.default_rng(0)
    errors = {f"s{n}": float(value) for n, value in enumerate(rng.normal(2.0, 0.5, 100))}
    first = evaluation(errors)
    better = evaluation({scene: error - 0.1 for scene, error in errors.items()})
    own, difference = bootstrap([first, better], "planning.uniad.L2_3s")
    assert own is not None
    assert difference is not None
    standard_error = np.std(list(errors.values())) / 10
    centre = np.mean(list(errors.values()))
    assert own == pytest.approx((centre - 1.96 * standard_error, centre + 1.96 * standard_error), abs=0.02)
    assert difference == pytest.approx((-0.1, -0.1))  # the same scenes are drawn for both
    table = comparison([ComparedRun("a", first), ComparedRun("b", better)])
    assert "(-0.100) [-0.100, -0.100]" in table
    assert "mAP" not in table  # neither run has it


def test_scenes_weigh_by_their_counts_and_means_that_are_no_sums_get_no_interval() -> None:
    uneven = evaluation({"a": 0.0, "b": 1.0}, {"a": 1, "b": 1_000_000})
    interval = bootstrap([uneven], "planning.uniad.L2_3s")[0]
    assert interval == pytest.approx((0.0, 1.0), abs=1e-5)
    assert is_summed("occupancy.IoU_near")
    for name in ("detection.mAP", "tracking.AMOTA", "motion.minADE", "occupancy.VPQ_near", "map.IoU"):
        assert not is_summed(name)
    assert bootstrap([evaluation({"a": 1.0})], "planning.uniad.L2_3s") == [None]


def test_measures_of_nothing_are_no_number() -> None:
    assert not ratio(0.0, 0).valid
    assert not mean([]).valid
    assert mean([Measure(1.0, 3), Measure(math.nan, 0)]) == Measure(1.0, 1)
    assert "nothing to measure" in published_table(Evaluation({}, {}, {}))


@pytest.mark.parametrize("goal", ["always", "never"])
def test_the_published_table_says_whether_the_planner_knew_more_than_the_command(goal: str) -> None:
    assert ("goal point" in published_table(Evaluation({"goal": goal}, {}, {}))) == (goal == "always")


def test_drawn_intervals_pair_the_runs_and_leave_out_what_a_draw_cannot_measure() -> None:
    first, worse = statistics(), statistics(worse_by_m=0.25)
    found = drawn_intervals([drawn_figures_of(run, resamples=60) for run in (first, worse)])
    own, difference = found["motion.minADE"]
    assert own is not None
    assert own[0] < drawn_figures(first, np.array([1, 1, 1]))["motion.minADE"] < own[1]
    assert difference == pytest.approx((0.25, 0.25))
    for name in ("detection.mAP", "detection.NDS", "tracking.AMOTA", "occupancy.VPQ_far"):
        own, difference = found[name]
        assert own is not None
        assert own[0] < own[1]
        assert difference == (0, 0)
    assert found["detection.bus.AP"] == [None, None]
    others = [ComparedRun("a", evaluation({"scene-0": 1.0}), run) for run in (first, statistics(2))]
    with pytest.raises(UserError, match="the same scenes"):
        comparison(others)


def test_runs_that_list_their_scenes_in_another_order_draw_the_same_ones() -> None:
    first = dataclasses.replace(statistics(), detection={}, rings={}, tracking={})
    turned = dataclasses.replace(
        first,
        scenes=first.scenes[::-1],
        motion={name: errors[::-1] for name, errors in first.motion.items()},
        map=first.map[::-1],
        occupancy=first.occupancy[::-1],
    )
    found = drawn_intervals([drawn_figures_of(run, resamples=20) for run in (first, turned)])
    assert {"motion.minADE", "map.IoU", "occupancy.VPQ_near"} <= set(found)
    for name, (own, difference) in found.items():
        assert own is not None, name
        assert own[0] < own[1]
        assert difference == pytest.approx((0, 0), abs=1e-12)


def test_a_run_is_read_with_the_statistics_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    scenes = {f"scene-{number}": 1.0 + number for number in range(3)}
    figures = evaluation(scenes)
    whole = dataclasses.replace(figures, tasks={**figures.tasks, "tracking": {"AMOTA": Measure(0.5, 2)}})
    write_evaluation(path, whole)
    assert "Only sums over scenes have intervals" in comparison([read_run(path)])
    write_statistics(statistics_file(path), statistics())
    table = comparison([read_run(path), read_run(path)], resamples=30)
    (line,) = [line for line in table.splitlines() if line.startswith("| tracking.AMOTA")]
    assert "(+0.000) [0.000, 0.000]" in line
