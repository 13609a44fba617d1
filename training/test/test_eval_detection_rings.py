"""Average precision by ring and visibility: scenes whose figures are known, and beside loops that spell it out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinybev_training.eval.detection_rings import (
    RingMatches,
    SampleRings,
    SceneRings,
    detection_rings,
    ring_figures,
    ring_measures,
    scene_rings,
)
from tinybev_training.eval.measure import Measure, Measures

from tinybev.cli import run_command
from tinybev.types import DETECTION_CLASSES, Detections

Row = tuple[str, float, float]
"""Class, x, y."""
VEHICLES = ("car", "truck", "bus", "trailer", "construction_vehicle")
ROW: list[Row] = [("car", 5.0, 0.0), ("truck", 15.0, 0.0), ("bus", 25.0, 0.0), ("trailer", 40.0, 0.0)]
"""A vehicle in each ring."""
RINGS = ("0-10m", "10-20m", "20-30m", "30-45m")


def boxes(rows: list[Row], scores: list[float] | None = None) -> Detections:
    count = len(rows)
    centers = np.array([(x, y, 0.0) for _, x, y in rows]).reshape(-1, 3)
    return Detections(
        centers,
        np.ones((count, 3)),
        np.zeros(count),
        np.zeros((count, 2)),
        np.ones(count) if scores is None else np.array(scores),
        np.array([DETECTION_CLASSES.index(name) for name, _, _ in rows], dtype=np.int64),
        np.full(count, -1),
        np.zeros(count, dtype=np.int64),
    )


def scene(
    truth: list[Row],
    predicted: list[Row],
    scores: list[float] | None = None,
    levels: list[int] | None = None,
    observed: list[bool] | None = None,
) -> SampleRings:
    return detection_rings(
        boxes(predicted, scores),
        boxes(truth),
        np.array([4] * len(truth) if levels is None else levels, dtype=np.int64),
        np.array([True] * len(truth) if observed is None else observed, dtype=np.bool_),
    )


def vehicles(*samples: SampleRings) -> Measures:
    """The figures at 2 m."""
    found = ring_measures(samples).items()
    ours = {name.removeprefix("vehicle."): measure for name, measure in found if name.startswith("vehicle.")}
    return {name: measure for name, measure in ours.items() if name.endswith("AP_2m")}


def test_the_truth_is_perfect_everywhere_and_what_is_absent_has_no_figure() -> None:
    walkers: list[Row] = [("pedestrian", 3.0, 3.0), ("bicycle", 4.0, 4.0), ("motorcycle", 6.0, 4.0)]
    found = ring_measures([scene(ROW + walkers, ROW + walkers)] * 3)
    assert found["vehicle.AP_1m"] == found["vehicle.AP_2m"] == Measure(1.0, 12)
    assert [found[f"vehicle.{ring}.AP_2m"] for ring in RINGS] == [Measure(1.0, 3)] * 4
    assert found["vehicle.within_20m.AP_1m"] == Measure(1.0, 6)
    assert found["vehicle.visibility_4.AP_1m"] == Measure(1.0, 12)
    assert found["pedestrian.AP_2m"] == found["pedestrian.0-10m.AP_2m"] == Measure(1.0, 3)
    for name in ("vehicle.visibility_1.AP_2m", "pedestrian.10-20m.AP_2m"):
        assert (found[name].valid, found[name].count) == (False, 0)
    assert not any(measure.valid for measure in ring_measures([]).values())


def test_a_miss_costs_its_share() -> None:
    found = vehicles(scene(ROW, ROW[1:]))
    assert found["AP_2m"] == Measure(0.75, 4)
    assert [found[f"{ring}.AP_2m"].value for ring in RINGS] == [0.0, 1.0, 1.0, 1.0]
    assert found["within_20m.AP_2m"].value == 0.5
    assert vehicles(scene(ROW, []))["AP_2m"] == Measure(0.0, 4)


def test_a_false_box_costs_as_much_as_it_is_trusted() -> None:
    false: Row = ("car", 5.0, 8.0)
    last = vehicles(scene(ROW[:1], [ROW[0], false], [0.9, 0.1]))
    assert last["AP_2m"].value == 1.0
    first = vehicles(scene(ROW[:1], [ROW[0], false], [0.1, 0.9]))
    assert first["AP_2m"].value == first["0-10m.AP_2m"].value == 0.5
    # Boxes of one score enter together, whichever comes first.
    for order in ([ROW[0], false], [false, ROW[0]]):
        assert vehicles(scene(ROW[:1], order, [0.5, 0.5]))["AP_2m"].value == 0.5


def test_the_curve_is_interpolated_at_every_point() -> None:
    # Right, wrong, right, right: precision 1 at the first, and 3/4 at the others, which is more than 2/3.
    found = vehicles(scene(ROW, [ROW[0], ("car", 5.0, 8.0), *ROW[1:3]], [0.9, 0.8, 0.7, 0.6]))
    assert found["AP_2m"].value == pytest.approx((1 + 0.75 + 0.75) / 4)


def test_samples_share_one_order_of_confidence() -> None:
    right, wrong = scene(ROW[:1], ROW[:1], [0.3]), scene([], [("car", 5.0, 8.0)], [0.6])
    assert vehicles(right, wrong)["AP_2m"] == vehicles(wrong, right)["AP_2m"] == Measure(0.5, 1)


def test_the_kinds_of_vehicles_are_not_told_apart_and_other_classes_are_none() -> None:
    assert vehicles(scene(ROW, [("construction_vehicle", x, y) for _, x, y in ROW]))["AP_2m"].value == 1.0
    for name in ("bicycle", "motorcycle", "pedestrian"):
        assert vehicles(scene(ROW, [(name, x, y) for _, x, y in ROW]))["AP_2m"].value == 0.0


@pytest.mark.parametrize(("offset", "at_1m", "at_2m"), [(0.99, 1.0, 1.0), (1.0, 0.0, 1.0), (2.0, 0.0, 0.0)])
def test_a_match_is_nearer_than_the_distance(offset: float, at_1m: float, at_2m: float) -> None:
    found = ring_measures([scene([("car", 5.0, 0.0)], [("car", 5.0, offset)])])
    assert (found["vehicle.AP_1m"].value, found["vehicle.AP_2m"].value) == (at_1m, at_2m)


def test_the_most_confident_box_chooses_first() -> None:
    # The nearest box of the second is taken, and the other is out of its reach: half of the two is found, the first.
    truth: list[Row] = [("car", 5.0, 0.0), ("car", 5.0, 3.0)]
    found = vehicles(scene(truth, [("car", 5.0, 0.5), ("car", 5.0, 0.0)], [0.9, 0.8]))
    assert found["AP_2m"].value == 0.5
    # Where it is in reach, it takes that.
    assert vehicles(scene(truth, [("car", 5.0, 1.4), ("car", 5.0, 1.2)], [0.9, 0.8]))["AP_2m"].value == 1.0


@pytest.mark.parametrize(
    ("distance", "ring"),
    [(0.0, 0), (9.99, 0), (10.0, 1), (19.99, 1), (20.0, 2), (29.99, 2), (30.0, 3), (44.99, 3), (45.0, None)],
)
def test_a_ring_holds_its_inner_border(distance: float, ring: int | None) -> None:
    for row in (("car", distance, 0.0), ("car", 0.0, -distance)):
        counts = [vehicles(scene([row], []))[f"{name}.AP_2m"].count for name in RINGS]
        assert counts == [int(ring == n) for n in range(4)]
        assert vehicles(scene([row], []))["AP_2m"].count == (ring is not None)
        assert vehicles(scene([row], []))["within_20m.AP_2m"].count == (ring in (0, 1))
        # Without a match it counts as wrong where it lies.
        others: list[Row] = [("car", 5.0, 5.0), ("car", 15.0, 5.0), ("car", 25.0, 5.0), ("car", 40.0, 5.0)]
        found = vehicles(scene(others, [row, *others], [0.9, 0.5, 0.5, 0.5, 0.5]))
        assert [found[f"{name}.AP_2m"].value for name in RINGS] == [0.5 if ring == n else 1.0 for n in range(4)]
        assert found["AP_2m"].value == pytest.approx(1.0 if ring is None else 0.8)


def test_a_box_that_found_one_of_another_ring_belongs_there() -> None:
    truth: list[Row] = [("car", 10.5, 0.0), ("car", 5.0, 0.0)]
    found = vehicles(scene(truth, [("car", 9.5, 0.0), ("car", 5.0, 0.0)], [0.9, 0.5]))
    # Lying within 10 m, it would have halved that ring's figure.
    assert found["0-10m.AP_2m"] == found["10-20m.AP_2m"] == Measure(1.0, 1)
    assert found["AP_2m"] == Measure(1.0, 2)
    beyond = vehicles(scene([("car", 45.5, 0.0), ("car", 35.0, 0.0)], [("car", 44.5, 0), ("car", 35, 0)], [0.9, 0.5]))
    assert beyond["30-45m.AP_2m"] == beyond["AP_2m"] == Measure(1.0, 1)


def test_boxes_that_do_not_count_are_neither_missed_nor_wrongly_found() -> None:
    truth: list[Row] = [("car", 5.0, 0.0), ("car", 5.0, 6.0)]
    for ignored in ({"levels": [1, 4]}, {"observed": [False, True]}):
        for predicted in (truth, truth[1:]):
            scores = [0.9, 0.5][: len(predicted)]
            found = vehicles(scene(truth, predicted, scores, **ignored))
            assert found["AP_2m"] == found["0-10m.AP_2m"] == found["visibility_4.AP_2m"] == Measure(1.0, 1)


def test_visibility_levels_count_alone_and_share_the_false_boxes() -> None:
    truth: list[Row] = [("car", 5.0, 4.0 * n - 8.0) for n in range(5)]
    found = vehicles(scene(truth, truth, levels=[0, 1, 2, 3, 4]))
    assert found["AP_2m"] == Measure(1.0, 4)  # unknown counts, level 1 does not
    assert [found[f"visibility_{level}.AP_2m"] for level in (1, 2, 3, 4)] == [Measure(1.0, 1)] * 4
    levels = [2, 4, 4, 4, 4]
    false = vehicles(scene(truth, [*truth, ("car", 30.0, 0.0)], [0.5] * 5 + [0.9], levels=levels))
    assert false["visibility_2.AP_2m"] == Measure(0.5, 1)
    assert false["visibility_4.AP_2m"] == Measure(0.8, 4)  # found as well, but not as rare


def test_only_what_a_figure_can_count_is_kept() -> None:
    far: list[Row] = [("car", 60.0, float(y)) for y in range(0, 50, 5)]
    for matches in scene([*ROW, *far], [*ROW, *far, ("car", 5.0, 8.0)]).values():
        assert matches.scores.nbytes + matches.rings.nbytes + matches.levels.nbytes == 6 * len(matches.scores)
        assert len(matches.scores) in (0, 5)


# --- beside loops that spell the definitions out ---


MadeSample = tuple[list[Row], list[tuple[int, bool]], list[Row], list[float]]
"""Annotated boxes, their level and whether they were met, predicted boxes, their scores."""


def naive_ap(entries: list[tuple[float, bool]], annotated: int) -> float:
    """The mean over the annotated boxes of the best precision at their recall or a higher one."""
    curve = []
    for score in {score for score, _ in entries}:
        above = [right for other, right in entries if other >= score]
        curve.append((sum(above), sum(above) / len(above)))
    best = [max((precision for found, precision in curve if found >= n), default=0.0) for n in range(1, annotated + 1)]
    return sum(best) / annotated


def naive_figures(samples: list[MadeSample], match_m: float) -> dict[str, Measure]:
    """The vehicles' figures by a loop over boxes."""
    edges = [(0, 10), (10, 20), (20, 30), (30, 45)]
    seen = (0, 2, 3, 4)
    parts: dict[str, tuple[int, int, tuple[int, ...]]] = {f"{low}-{high}m.": (low, high, seen) for low, high in edges}
    parts |= {"": (0, 45, seen), "within_20m.": (0, 20, seen)}
    parts |= {f"visibility_{level}.": (0, 45, (level,)) for level in (1, 2, 3, 4)}
    figures = {}
    for name, (low, high, levels) in parts.items():
        entries, annotated = [], 0
        for truth, known, predicted, scores in samples:
            counts = [
                low <= np.hypot(x, y) < high and level in levels and met
                for (_, x, y), (level, met) in zip(truth, known, strict=True)
            ]
            cars = [n for n, row in enumerate(truth) if row[0] in VEHICLES]
            annotated += sum(counts[n] for n in cars)
            for ours in sorted(range(len(predicted)), key=lambda n: -scores[n]):
                kind, x, y = predicted[ours]
                if kind not in VEHICLES:
                    continue
                reach = [(np.hypot(truth[n][1] - x, truth[n][2] - y), n) for n in cars]
                distance, nearest = min(reach, default=(np.inf, -1))
                if distance < match_m:
                    cars.remove(nearest)
                    if counts[nearest]:
                        entries.append((scores[ours], True))
                elif low <= np.hypot(x, y) < high:
                    entries.append((scores[ours], False))
        figures[f"{name}AP_{match_m:.0f}m"] = Measure(naive_ap(entries, annotated) if annotated else np.nan, annotated)
    return figures


def made_sample(rng: np.random.Generator) -> MadeSample:
    """Crowded, so that boxes compete; scores repeat."""
    kinds = ("car", "truck", "bicycle", "pedestrian")

    def anywhere(kind: str) -> Row:
        return kind, float(rng.uniform(-40, 40)), float(rng.uniform(-40, 40))

    truth = [anywhere(str(rng.choice(kinds))) for _ in range(rng.integers(0, 9))]
    near = [
        (str(rng.choice(kinds[:2])) if kind in kinds[:2] else kind, x + rng.normal(0, 1.2), y + rng.normal(0, 1.2))
        for kind, x, y in truth
        for _ in range(rng.integers(0, 4))
    ]
    false = [anywhere("car") for _ in range(rng.integers(0, 4))]
    predicted = [*near, *false]
    known = [(int(rng.integers(0, 5)), bool(rng.random() < 0.8)) for _ in truth]
    return truth, known, predicted, [float(n) / 16 for n in rng.integers(1, 16, len(predicted))]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_figures_are_those_of_a_loop_over_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [made_sample(rng) for _ in range(6)]
    found = ring_measures(
        [
            scene(truth, predicted, scores, [level for level, _ in known], [met for _, met in known])
            for truth, known, predicted, scores in samples
        ]
    )
    for match_m in (1.0, 2.0):
        expected = naive_figures(samples, match_m)
        assert len(expected) == 10
        for name, measure in expected.items():
            ours = found[f"vehicle.{name}"]
            assert ours.count == measure.count
            assert ours.value == pytest.approx(measure.value, abs=1e-12, nan_ok=True)


@given(
    entries=st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans()), max_size=20),
    missed=st.integers(0, 5),
)
def test_average_precision_is_the_mean_of_the_best_precisions(entries: list[tuple[float, bool]], missed: int) -> None:
    annotated = max(1, sum(right for _, right in entries) + missed)
    entries = sorted(entries, key=lambda entry: -entry[0])
    levels = np.array([4 if right else -1 for _, right in entries], dtype=np.int8)
    there = np.zeros((1, 4, 5), dtype=np.int64)
    there[0, 0, 4] = annotated
    scores = np.array([score for score, _ in entries], dtype=np.float32)
    matches = RingMatches(scores, np.zeros(len(entries), dtype=np.int8), levels, there)
    rings = SceneRings(matches, np.zeros(len(entries), dtype=np.int64))
    found, count = ring_figures({"vehicle.AP_2m": rings}, np.ones(1, dtype=np.int64))["vehicle.AP_2m"]
    assert count == annotated
    assert found == pytest.approx(naive_ap(entries, annotated), abs=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**16), drawn=st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_drawn_scenes_have_the_figures_of_their_samples(seed: int, drawn: list[int]) -> None:
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in drawn:
        made = [made_sample(rng) for _ in range(3)]
        scenes.append(
            [
                scene(truth, predicted, scores, [level for level, _ in known], [met for _, met in known])
                for truth, known, predicted, scores in made
            ]
        )
    expected = ring_measures(
        [sample for samples, times in zip(scenes, drawn, strict=True) for sample in samples * times]
    )
    for name, (value, count) in ring_figures(scene_rings(scenes), np.array(drawn)).items():
        assert count == expected[name].count
        assert value == pytest.approx(expected[name].value, abs=1e-12, nan_ok=True)


# --- from end to end ---


def test_the_truth_as_prediction_scores_one(tiny_dataroot: Path, tmp_path: Path) -> None:
    root, figures = tmp_path / "data", tmp_path / "figures.json"
    shutil.copytree(tiny_dataroot, root)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0001", "tiny-0002"]}))
    arguments = ["--predictions", "ground-truth", "--dataroot", str(root), "--split", "mine", "--json", str(figures)]
    assert run_command("tinybev_training.eval.commands", arguments, "tinybev eval") == 0
    data = json.loads(figures.read_text())
    for name in ("vehicle", "pedestrian"):
        counts = data["counts"]["rings"][name]
        assert data["rings"][name]["AP_2m"] == data["rings"][name]["AP_1m"] == 1
        assert counts["AP_2m"] == sum(counts[ring]["AP_2m"] for ring in RINGS) > 0
        for group, counted in counts.items():
            if isinstance(counted, dict):
                assert data["rings"][name][group]["AP_1m"] == (1 if counted["AP_1m"] else None)
        scenes = [scene["counts"]["rings"][name]["AP_2m"] for scene in data["scenes"].values()]
        assert sum(scenes) == counts["AP_2m"]
