"""A drawn set of scenes has the figures of that very set: by the devkit where they are its own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_scenes import detection_evaluation, sample_scores, statistics, tracking_evaluation
from tinybev_training.eval.detection_matches import detection_figures, detection_matches
from tinybev_training.eval.evaluate import dense_tasks
from tinybev_training.eval.scene_statistics import drawn_figures, read_statistics, write_statistics
from tinybev_training.eval.tracking_states import tracking_figures, tracking_states

from tinybev.errors import UserError


@settings(max_examples=8)
@given(drawn=st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any))
def test_detection_of_drawn_scenes_is_the_devkits_of_a_list_with_those_scenes(drawn: list[int]) -> None:
    once = detection_evaluation(np.ones(4, dtype=np.int64))
    matches = detection_matches(once, {token: int(token[0]) for token in once.sample_tokens}, 4)
    found = detection_figures(matches, np.array(drawn))
    metrics, _ = detection_evaluation(np.array(drawn)).evaluate()
    assert found["mAP"] == pytest.approx(metrics.mean_ap, abs=1e-12)
    assert found["NDS"] == pytest.approx(metrics.nd_score, abs=1e-12)
    for name, error in (("mATE", "trans_err"), ("mASE", "scale_err"), ("mAOE", "orient_err"), ("mAVE", "vel_err")):
        assert found[name] == pytest.approx(metrics.tp_errors[error], abs=1e-12)
    assert found["mAAE"] == pytest.approx(metrics.tp_errors["attr_err"], abs=1e-12)
    if found["car.AP"] == found["car.AP"]:
        assert found["car.AP"] == pytest.approx(metrics.mean_dist_aps["car"], abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # the devkit's, about classes without annotations
@pytest.mark.parametrize("drawn", [(1, 1, 1), (2, 0, 1), (0, 3, 0)])
def test_tracking_of_drawn_scenes_is_the_devkits_of_a_list_with_those_scenes(drawn: tuple[int, ...]) -> None:
    states = tracking_states(tracking_evaluation(np.array([1, 1, 1])), ["0-0", "1-0", "2-0"])
    found = tracking_figures(states, np.array(drawn))
    metrics, _ = tracking_evaluation(np.array(drawn)).evaluate()
    assert 0.1 < found["AMOTA"] < 0.95
    assert found["AMOTA"] == pytest.approx(metrics.compute_metric("amota"), abs=1e-9)
    assert found["AMOTP"] == pytest.approx(metrics.compute_metric("amotp"), abs=1e-9)
    for name in ("car", "pedestrian"):
        assert found[f"{name}.AMOTA"] == pytest.approx(metrics.label_metrics["amota"][name], abs=1e-9)
    assert math.isnan(found["bus.AMOTA"])


def test_motion_map_and_occupancy_of_drawn_scenes_are_those_of_their_samples() -> None:
    drawn = [2, 0, 1]
    found = drawn_figures(statistics(), np.array(drawn))
    samples = [sample_scores(n, number) for n, times in enumerate(drawn) for _ in range(times) for number in range(2)]
    tasks = dense_tasks(samples)
    checked = [name for name in found if not name.startswith(("detection", "tracking"))]
    assert {"motion.minADE", "motion.pedestrian.MR", "map.IoU", "occupancy.VPQ_near", "rings.vehicle.AP_2m"} <= set(
        checked
    )
    assert 0 < found["rings.vehicle.AP_2m"] < 1
    for name in checked:
        task, metric = name.split(".", 1)
        assert found[name] == pytest.approx(tasks[task][metric].value, abs=1e-12, nan_ok=True)


def test_the_statistics_survive_the_file(tmp_path: Path) -> None:
    expected, path = statistics(), tmp_path / "a.scenes.npz"
    write_statistics(path, expected)
    found = read_statistics(path)
    assert found.scenes == expected.scenes
    for drawn in ([1, 1, 1], [0, 2, 1]):
        assert drawn_figures(found, np.array(drawn)) == pytest.approx(
            drawn_figures(expected, np.array(drawn)), abs=0, nan_ok=True
        )
    with np.load(path) as file:
        older = {name: array for name, array in file.items() if not name.startswith("rings/")}
    np.savez(path, **older)
    assert not read_statistics(path).rings
    assert "rings.vehicle.AP_2m" not in drawn_figures(read_statistics(path), np.array([1, 1, 1]))
    older["map/0/union"] = older["map/0/union"].sum(axis=1)  # of before cells were counted by ring
    np.savez(path, **older)
    with pytest.raises(UserError, match=r"map: expected cells \(5, 5\) by class and ring.*evaluate again"):
        read_statistics(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        read_statistics(path)
