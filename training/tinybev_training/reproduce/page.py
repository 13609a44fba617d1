"""``docs/results.md``: the part of a scale is made anew between its marks, the rest stays as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from tinybev.errors import UserError
from tinybev_training.eval.compare import COVERED, RESAMPLES
from tinybev_training.long_work.write_file import write_text
from tinybev_training.reproduce.experiment import PICTURED, SHIPPED_ROWS, TEACHER, Experiment, Row
from tinybev_training.reproduce.scale import LABELLED, Scale
from tinybev_training.reproduce.summary import DISTANCES, FIGURES, Cell, Figure, SummaryRow
from tinybev_training.teacher.cross_modal_config import find_teacher

PLOT_FILE = "scores.png"
"""Of the pictures the one with curves; the others are frames."""

_NOTHING = Cell((), None)
_ABSENT = "-"


def section(experiment: Experiment, rows: Sequence[SummaryRow], pictures: Sequence[str]) -> str:
    """The part of a scale, as Markdown.

    Args:
        experiment: whose.
        rows: that are finished.
        pictures: where they lie, seen from the page.
    """
    scale, world = experiment.scale, experiment.scale.world
    headings = " | ".join(figure.heading for figure in FIGURES)
    lines = [
        f"`tinybev reproduce --scale {scale.name}`: {world.labelled} annotated scenes of {world.seconds:g} s, "
        f"{world.unlabelled} more on which only a teacher speaks, {world.held_out} held-out scenes with road networks "
        f"of their own; student `{scale.student}`, {scale.steps} steps, teacher `{scale.teacher}` "
        f"({_senses(scale.teacher)}), {scale.teacher_steps} steps, of {scale.labelled} annotated samples (and "
        f"{scale.unlabelled} that are not) each; training in {scale.precision}, measured in float32.",
        "",
        _legend(scale),
        "",
        f"| | parameters, millions | seeds | {headings} | hours of training |",
        "| --- |" + " ---: |" * (len(FIGURES) + 3),
        *(_row(row) for row in rows),
        "",
        *_missing(experiment, rows),
        *_versions(rows),
        *_differences(rows),
        *(line for title, figures in DISTANCES.items() for line in _by_distance(title, figures, rows)),
        *_pictures(scale, rows, pictures),
        *_folded("How the shipped bundle was made", _about_shipped(scale)),
        *_folded("Shares of the teacher's figures", _of_the_teacher(rows)),
        *_folded("The command of each run", _trained(rows)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def update_page(page: Path, part: str, text: str, maker: str = "tinybev reproduce") -> None:
    """Replaces what stands between the marks of ``part``, which name its ``maker``; a part here is a scale.

    Raises:
        UserError: the page is not there, or has no such part.
    """
    begin, end = f"<!-- {part}: made by {maker} -->", f"<!-- end of {part} -->"
    try:
        before, marked, rest = page.read_text(encoding="utf-8").partition(begin)
    except OSError as error:
        raise UserError(f"{page}: expected a page to write the results into, got {error.strerror}.") from error
    _, ended, after = rest.partition(end)
    if not marked or not ended:
        raise UserError(f"{page}: expected the lines '{begin}' and '{end}' in it; put them where the results belong.")
    write_text(page, f"{before}{begin}\n\n{text}\n{end}{after}")


def _legend(scale: Scale) -> str:
    """What a number of the tables is."""
    shipped = "; those of the shipped bundle are of all its runs together" if scale.shipped else ""
    return (
        "A number is the mean over the seeds listed, with ± their standard deviation (n - 1) where there are several. "
        f"In brackets is the {COVERED:.0%} interval of that mean over {RESAMPLES} resamples of the held-out scenes, "
        "the same ones for every run: what other scenes would give, and not what other seeds would. Planners are told "
        "the command and a point 30 m ahead on the way that the human then took. L2 and collisions are UniAD's, for "
        "whom a step after the end of its recording has no error, so what can be judged is worse than they say "
        f"([evaluation](evaluation.md#definitions)). Hours are the mean of the seeds{shipped}."
    )


def _folded(summary: str, lines: Sequence[str]) -> list[str]:
    """What is shown on a click; the blank lines let what is inside be Markdown."""
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>", ""] if lines else []


def _about_shipped(scale: Scale) -> list[str]:
    """How the shipped bundle differs from the rows that it stands below."""
    shipped = scale.shipped
    if shipped is None:
        return []
    lines = [
        f"The shipped bundle is another experiment: `{shipped.network}` in {len(shipped.runs)} runs, each from the "
        f"weights of the one before, {shipped.steps} steps where nothing else is said.",
        "",
    ]
    for row, settings in zip(SHIPPED_ROWS, shipped.runs, strict=True):
        world = shipped.more_world if row.more else scale.world
        scenes = f"{world.labelled + world.unlabelled} {'further' if row.more else 'training'} scenes"
        teacher = " and the teacher" if row.taught else ""
        lines.append(f"- recipe `{row.recipe}`, the annotations of all {scenes}{teacher}: {_settings(settings)}")
    return lines


def _senses(teacher: str) -> str:
    return "cameras, lidar, memory" if find_teacher(teacher).sees_lidar else "cameras, memory"


def _settings(settings: Sequence[str]) -> str:
    return ", ".join(f"`{one}`" for one in settings)


def _row(row: SummaryRow) -> str:
    cells = [_cell(row.cells[figure.metric], figure) for figure in FIGURES]
    seeds = ", ".join(map(str, row.seeds))
    return f"| {row.row.title} | {row.parameters / 1e6:.1f} | {seeds} | {' | '.join(cells)} | {row.hours:.1f} |"


def _missing(experiment: Experiment, rows: Sequence[SummaryRow]) -> list[str]:
    """Which runs the table still lacks."""
    there = {(row.row, seed) for row in rows for seed in row.seeds}
    lacks: dict[str, list[str]] = {}
    for run in experiment.runs:
        if run.row not in SHIPPED_ROWS[:-1] and (run.row, run.seed) not in there:
            lacks.setdefault(run.row.title, []).append(str(run.seed))
    missing = [f"{title} (seed {', '.join(seeds)})" for title, seeds in lacks.items()]
    return [f"**Not measured yet:** {'; '.join(missing)}.", ""] if missing else []


def _versions(rows: Sequence[SummaryRow]) -> list[str]:
    """Whether the figures come from code that changed in between."""
    codes = frozenset[str]().union(*(row.codes for row in rows))
    if len(codes) < 2:
        return []
    return [f"**Measured by {len(codes)} versions of the code**, which the evaluations' files name under `run`.", ""]


def _cell(cell: Cell, figure: Figure, sign: str = "") -> str:
    values = [value * figure.scale for value in cell.values if math.isfinite(value)]
    if not values:
        return _ABSENT
    mean = sum(values) / len(values)
    text = f"{mean:{sign}.{figure.digits}f}"
    if len(values) > 1:
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
        text += f" ± {spread:.{figure.digits}f}"
    return text + _interval(cell, figure)


def _interval(cell: Cell, figure: Figure) -> str:
    if cell.interval is None:
        return ""
    low, high = (bound * figure.scale for bound in cell.interval)
    return f" [{low:.{figure.digits}f}, {high:.{figure.digits}f}]"


def _differences(rows: Sequence[SummaryRow]) -> list[str]:
    """What each row adds to the student alone, S3 to the other stages, all annotations to S3, more steps to both."""
    lines = []
    for row in rows:
        for other, found in row.differences.items():
            cells = [_cell(found.get(figure.metric, _NOTHING), figure, "+") for figure in FIGURES]
            lines.append(f"| {_short(row.row)} - {_short(other)} | {' | '.join(cells)} |")
    if not lines:
        return []
    return [
        "Differences, seed by seed, on the same resampled scenes, to be read in the same way:",
        "",
        "| | " + " | ".join(figure.heading for figure in FIGURES) + " |",
        "| --- |" + " ---: |" * len(FIGURES),
        *lines,
        "",
    ]


def _short(row: Row) -> str:
    return row.title.partition(":")[0]


def _of_the_teacher(rows: Sequence[SummaryRow]) -> list[str]:
    """Every row's share of the teacher's figures, as the paper gives them."""
    teacher = next((row for row in rows if row.row is TEACHER), None)
    if teacher is None:
        return []
    lines = []
    for row in rows:
        if row is teacher or row.row.split != LABELLED:  # those had other annotations than the teacher
            continue
        shares = [_share(row.cells[figure.metric], teacher.cells[figure.metric]) for figure in FIGURES]
        fewer = 100 * (1 - row.parameters / teacher.parameters)
        lines.append(f"| {row.row.title} | {' | '.join(shares)} | {fewer:.0f} % |")
    if not lines:
        return []
    return [
        "Of errors (minADE, L2) and of collisions, less is better, so that 100 % is as good as the teacher and more is "
        "worse.",
        "",
        "| | " + " | ".join(figure.heading.split(",")[0] for figure in FIGURES) + " | fewer parameters |",
        "| --- |" + " ---: |" * (len(FIGURES) + 1),
        *lines,
    ]


def _share(ours: Cell, teachers: Cell) -> str:
    mean, theirs = _mean(ours), _mean(teachers)
    return f"{100 * mean / theirs:.0f} %" if theirs and math.isfinite(mean / theirs) else _ABSENT


def _mean(cell: Cell) -> float:
    """Of the seeds that have the figure; NaN where none has."""
    finite = [value for value in cell.values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _by_distance(title: str, figures: Sequence[Figure], rows: Sequence[SummaryRow]) -> list[str]:
    """A figure near and far."""
    lines = []
    for row in rows:
        cells = [_cell(row.cells[figure.metric], figure) for figure in figures]
        if any(cell != _ABSENT for cell in cells):
            lines.append(f"| {row.row.title} | {' | '.join(cells)} |")
    if not lines:
        return []
    return [
        f"{title} by distance from the vehicle, %:",
        "",
        "| | " + " | ".join(figure.heading for figure in figures) + " |",
        "| --- |" + " ---: |" * len(figures),
        *lines,
        "",
    ]


def _pictures(scale: Scale, rows: Sequence[SummaryRow], pictures: Sequence[str]) -> list[str]:
    """The curves and the frames, with what they show."""
    curves = [picture for picture in pictures if Path(picture).name == PLOT_FILE]
    frames = [picture for picture in pictures if picture not in curves]
    first = scale.seeds[0]
    lines = []
    if curves:
        lines += [
            f"Scores over the steps, of seed {first}, on the **validation** scenes (the tables are of the held-out "
            "ones); the teacher is below, on an axis of its own:",
            "",
            *(f"![Scores on the validation scenes over the steps]({picture})" for picture in curves),
            "",
        ]
    if frames:
        shown = [_short(row) for row in PICTURED if any(each.row is row and first in each.seeds for each in rows)]
        columns = ", ".join(["truth", *shown])
        lines += [
            f"Held-out frames, spread evenly and not chosen, seed {first}; columns: {columns}. Above are boxes, "
            "futures, occupancy and plan (thin green: the annotated boxes), below the map:",
            "",
            *(
                f"![Held-out frame {number}, seen from above: {columns}]({picture})"
                for number, picture in enumerate(frames, 1)
            ),
            "",
        ]
    return lines


def _trained(rows: Sequence[SummaryRow]) -> list[str]:
    """How; of several seeds the first one."""
    return [
        "Of the first seed:",
        "",
        *(f"- {row.row.title}, on {row.machine}{_beside(row)}:{_commands(row)}" for row in rows),
    ]


def _beside(row: SummaryRow) -> str:
    return f", {row.side_by_side} jobs side by side" if row.side_by_side > 1 else ""


def _commands(row: SummaryRow) -> str:
    return ", then".join(f"\n  `{command}`" for command in row.commands)
