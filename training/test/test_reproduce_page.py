"""From measured runs to the table: means over seeds, differences from the student alone, and the page around it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tinybev_training.eval.measure import Measure
from tinybev_training.eval.results_file import Evaluation, write_evaluation
from tinybev_training.reproduce.experiment import ALONE, ALONE_HALF, S3, S3_HALF, TEACHER, Experiment, Run
from tinybev_training.reproduce.job import Record, write_record
from tinybev_training.reproduce.page import section, update_page
from tinybev_training.reproduce.plots import plot_scores
from tinybev_training.reproduce.scale import find_scale
from tinybev_training.reproduce.summary import summarize

from tinybev.errors import UserError


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(replace(find_scale("smoke"), seeds=(0, 1)), tmp_path / "out", "cpu", 1)


def measured(
    experiment: Experiment, run: Run, mean_ap: float, l2_by_scene: dict[str, float], code: str = "today's"
) -> None:
    """As training and measuring leave it, without the statistics that other intervals need."""
    scenes = {name: {"planning": {"uniad.L2_3s": Measure(l2, 10)}} for name, l2 in l2_by_scene.items()}
    tasks = {
        "detection": {"mAP": Measure(mean_ap, 10)},
        "planning": {"uniad.L2_3s": Measure(sum(l2_by_scene.values()) / len(l2_by_scene), 10)},
        "rings": {f"vehicle.{ring}.AP_2m": Measure(mean_ap / 2, 10) for ring in ("0-10m", "30-45m")},
        "speed": {"parameters": Measure(20e6 if run.row is TEACHER else 4e6, 1)},
    }
    write_evaluation(experiment.figures(run), Evaluation({"source": run.name, "code": code}, tasks, scenes))
    write_record(experiment.folder, f"train-{run.name}", Record(f"tinybev train {run.name}", 1800.0, "a CPU", 2))


def test_the_table_holds_means_spreads_differences_and_shares(experiment: Experiment) -> None:
    measured(experiment, Run(TEACHER, 0), 0.50, {"a": 1.0, "b": 1.0})
    measured(experiment, Run(ALONE, 0), 0.30, {"a": 2.0, "b": 3.0})
    measured(experiment, Run(ALONE, 1), 0.34, {"a": 2.0, "b": 3.0})
    measured(experiment, Run(S3, 0), 0.45, {"a": 1.5, "b": 2.5})
    measured(experiment, Run(S3, 1), 0.43, {"a": 1.9, "b": 2.5})
    rows = summarize(experiment)
    assert [row.row for row in rows] == [TEACHER, ALONE, S3]
    teacher, alone, s3 = rows
    assert alone.cells["detection.mAP"].values == (0.30, 0.34)
    assert alone.hours == 0.5
    assert s3.differences[ALONE]["detection.mAP"].values == pytest.approx((0.15, 0.09))
    assert s3.differences[ALONE]["planning.uniad.L2_3s"].values == pytest.approx((-0.5, -0.3))
    # Of the seeds together: -0.3 in one scene, -0.5 in the other.
    assert s3.differences[ALONE]["planning.uniad.L2_3s"].interval == pytest.approx((-0.5, -0.3))
    assert s3.cells["planning.uniad.L2_3s"].interval == pytest.approx((1.7, 2.5))
    assert not teacher.differences
    assert math.isnan(teacher.cells["tracking.AMOTA"].values[0])
    text = section(experiment, rows, ["images/scores.png", "images/held_out_1.png"])
    assert "| student alone | 4.0 | 0, 1 | 32.0 ± 2.8 | - |" in text
    assert "| S3 - student alone | +12.0 ± 4.2 | - |" in text
    assert "| S3 - S1 |" not in text
    assert "Hours are the mean of the seeds." in text
    assert "| S3: joint, region-aware | 88 % | - | - | - | - | - | - | 210 % | - | 80 % |" in text
    assert "- student alone, on a CPU, 2 jobs side by side:\n  `tinybev train alone-seed0`" in text
    assert "| | 0 to 10 m | 10 to 20 m | 20 to 30 m | 30 to 45 m |" in text
    assert "| student alone | 16.0 ± 1.4 | - | - | 16.0 ± 1.4 |" in text
    assert "![Scores on the validation scenes over the steps](images/scores.png)" in text
    assert "![Held-out frame 1, seen from above: truth, teacher, student alone, S3](images/held_out_1.png)" in text
    assert (
        "**Not measured yet:** student alone, all scenes annotated (seed 0, 1); S2: output level (seed 0, 1); " in text
    )


def test_what_the_second_half_of_the_steps_adds_is_told(tmp_path: Path) -> None:
    experiment = Experiment(find_scale("cpu-few"), tmp_path, "cpu", 1)
    for row, mean_ap in ((ALONE_HALF, 0.28), (ALONE, 0.30), (S3_HALF, 0.35), (S3, 0.39)):
        measured(experiment, Run(row, 0), mean_ap, {"a": 2.0})
    text = section(experiment, summarize(experiment), [])
    assert "| student alone - student alone, half of the steps | +2.0 |" in text
    assert "| S3 - S3, half of the steps | +4.0 |" in text
    assert "| S3, half of the steps - student alone, half of the steps | +7.0 |" in text
    assert "| S3 - student alone | +9.0 |" in text


def test_the_table_comes_after_what_explains_it_and_what_is_long_is_folded(experiment: Experiment) -> None:
    measured(experiment, Run(TEACHER, 0), 0.50, {"a": 1.0})
    measured(experiment, Run(ALONE, 0), 0.30, {"a": 2.0})
    text = section(experiment, summarize(experiment), ["images/held_out_1.png"])
    folded = text.split("<details>\n<summary>")[1:]
    assert [part.partition("</summary>\n\n")[0] for part in folded] == [
        "Shares of the teacher's figures",
        "The command of each run",
    ]
    assert all("\n\n</details>\n" in part for part in folded)
    assert "columns: truth, teacher, student alone. " in text  # as the pictures are made: S3 is not measured
    assert "validation" not in text  # there are no curves
    order = (
        "`tinybev reproduce",
        "A number is the mean",
        "| teacher | 20.0 |",
        "**Not measured",
        "by distance",
        "![Held",
    )
    places = [text.index(part) for part in (*order, "<details>")]
    assert places == sorted(places)


def test_figures_of_other_code_are_told(experiment: Experiment) -> None:
    measured(experiment, Run(ALONE, 0), 0.30, {"a": 2.0})
    assert "versions of the code" not in section(experiment, summarize(experiment), [])
    measured(experiment, Run(ALONE, 1), 0.30, {"a": 2.0}, "yesterday's")
    assert "**Measured by 2 versions of the code**" in section(experiment, summarize(experiment), [])


def test_scores_are_plotted_where_there_are_some(experiment: Experiment, tmp_path: Path) -> None:
    picture = tmp_path / "scores.png"
    assert not plot_scores(experiment, picture)
    assert not picture.exists()
    for step, mean_ap in ((4, 0.1), (8, 0.2)):
        tasks = {"detection": {"mAP": Measure(mean_ap, 10)}}
        assert not plot_scores(experiment, picture)  # one point is no curve
        write_evaluation(experiment.figures_on_the_way(Run(ALONE, 0), step), Evaluation({}, tasks, {}))
    assert plot_scores(experiment, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_only_the_part_of_the_scale_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(
        "# Results\n\n<!-- cpu: made by tinybev reproduce -->\nold\n<!-- end of cpu -->\n\nkept\n\n"
        "<!-- gpu: made by tinybev reproduce -->\nkept too\n<!-- end of gpu -->\n"
    )
    update_page(page, "cpu", "new\n")
    update_page(page, "cpu", "newer\n")
    assert page.read_text() == (
        "# Results\n\n<!-- cpu: made by tinybev reproduce -->\n\nnewer\n\n<!-- end of cpu -->\n\nkept\n\n"
        "<!-- gpu: made by tinybev reproduce -->\nkept too\n<!-- end of gpu -->\n"
    )


def test_a_page_without_the_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "other.md"
    with pytest.raises(UserError, match="expected a page to write the results into"):
        update_page(page, "cpu", "new\n")
    page.write_text("something else\n")
    with pytest.raises(UserError, match="expected the lines '<!-- cpu: made by tinybev reproduce -->'"):
        update_page(page, "cpu", "new\n")
    assert page.read_text() == "something else\n"


def test_nothing_measured_makes_no_rows(experiment: Experiment) -> None:
    assert summarize(experiment) == []
