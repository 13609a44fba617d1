"""A scale -> its jobs: the world, every run's training, its bundles on the way, and their measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinybev_training.reproduce.job import Job
from tinybev_training.reproduce.scale import ALL, HELD_OUT, LABELLED, UNLABELLED, VALIDATION, Scale
from tinybev_training.teacher.commands import SUMMARY_FILE
from tinybev_training.train.snapshots import snapshot_folder
from tinybev_training.world.dataset_writer import VERSION

WORLD_JOB, TEACH_JOB = "world", "teach"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: of the recipe, and of the row.
        title: as the table has it.
        taught: whether our teacher teaches it.
        unlabelled: whether it hears a teacher on the scenes that are not annotated.
    """

    name: str
    title: str
    taught: bool = False
    unlabelled: bool = False


TEACHER = Row("teacher", "teacher (cameras, lidar, memory)")
ALONE = Row("alone", "student alone")
S1 = Row("s1", "S1: feature level", taught=True, unlabelled=True)
S2 = Row("s2", "S2: output level", taught=True, unlabelled=True)
S3 = Row("s3", "S3: joint, region-aware", taught=True, unlabelled=True)
SELF = Row("self", "teacher-free: its own average", unlabelled=True)
SHIPPED_FIRST = Row("shipped", "shipped bundle after its first run, as S3", taught=True)
SHIPPED = Row("shipped-again", "shipped bundle, as S3", taught=True)
ROWS = (TEACHER, ALONE, S1, S2, S3, SELF)
"""In the order of the table."""

_WANTED = (ALONE, S3, S2, S1, SELF)
"""Students in the order in which they are trained: one that is stopped early has answered the main question."""


@dataclass(frozen=True)
class Run:
    """One training of a row with one seed."""

    row: Row
    seed: int

    @property
    def name(self) -> str:
        """Of its folders and jobs."""
        return f"{self.row.name}-seed{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """A scale in a folder.

    Attributes:
        scale: what is run.
        folder: where everything goes.
        device: of training and measuring.
        processes: that render and predict at the same time.
    """

    scale: Scale
    folder: Path
    device: str
    processes: int

    @property
    def runs(self) -> tuple[Run, ...]:
        """In the order in which they are wanted: the first seed of everything, then further ones of the students."""
        first, *others = self.scale.seeds
        students = [Run(row, seed) for seed in others for row in _WANTED]
        shipped = (SHIPPED_FIRST, SHIPPED) if self.scale.shipped else ()
        return (*(Run(row, first) for row in (TEACHER, *shipped, *_WANTED)), *students)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All of them, each after those that it needs."""
        trained = [job for run in self.runs for job in (self._train(run), self._measure(run))]
        on_the_way = [job for run in self.curve_runs for job in self._measure_on_the_way(run)]
        teach = (self._teach(),) if self.scale.written_teacher else ()
        return (self._world(), *trained[:2], *teach, *trained[2:], *on_the_way)

    @property
    def curve_runs(self) -> tuple[Run, ...]:
        """Whose score is plotted over training."""
        return tuple(Run(row, self.scale.seeds[0]) for row in ROWS)

    @property
    def dataroot(self) -> Path:
        """Of the synthetic dataset."""
        return self.folder / "world"

    def run_folder(self, run: Run) -> Path:
        """What training leaves."""
        return self.folder / "runs" / run.name

    @property
    def taught_by(self) -> Path:
        """What ``--teacher`` names: what the teacher said, or its run."""
        return self.folder / "teaching" if self.scale.written_teacher else self.run_folder(self._teacher)

    def figures(self, run: Run) -> Path:
        """What ``tinybev eval --json`` leaves of the held-out scenes."""
        return self.folder / "eval" / f"{run.name}.json"

    def predictions(self, run: Run) -> Path:
        """Of the held-out scenes."""
        return self.folder / "predictions" / run.name

    def bundle(self, run: Run) -> Path:
        """Of the end of training."""
        return self.run_folder(run) / "bundle"

    def steps_on_the_way(self) -> Sequence[int]:
        """After which steps there is a bundle, the last one apart."""
        return range(self.scale.bundle_every, self.scale.steps, self.scale.bundle_every)

    def figures_on_the_way(self, run: Run, step: int) -> Path:
        """What ``tinybev eval --json`` leaves of the validation scenes after ``step``; the last step included."""
        return self.folder / "eval" / f"{run.name}-step-{step}.json"

    def _world(self) -> Job:
        world = self.scale.world
        return Job(
            WORLD_JOB,
            (
                *("world", "--scenes", str(world.scenes), "--seed", str(world.seed)),
                *("--duration", f"{world.seconds:g}", "--size", str(world.width), str(world.height)),
                *("--splits", *(f"{name}={first}-{last}" for name, (first, last) in world.splits.items())),
                *("--processes", str(self.processes), "--out", str(self.dataroot)),
            ),
            self.dataroot / VERSION,
        )

    @property
    def _teacher(self) -> Run:
        return Run(TEACHER, self.scale.seeds[0])

    def _teach(self) -> Job:
        return Job(
            TEACH_JOB,
            (
                *("teach", "--teacher", str(self.run_folder(self._teacher))),
                *self._data("--split", LABELLED, UNLABELLED),
                *(("--bf16",) if self.scale.precision == "bf16" else ()),
                *("--device", self.device, "--out", str(self.taught_by)),
            ),
            self.taught_by / SUMMARY_FILE,
            (f"train-{self._teacher.name}",),
        )

    def _train(self, run: Run) -> Job:
        scale, row = self.scale, run.row
        shipped = scale.shipped if row in (SHIPPED_FIRST, SHIPPED) else None
        recipe = S3.name if shipped else row.name
        network = shipped.network if shipped else scale.teacher if row is TEACHER else scale.student
        lesson = TEACH_JOB if scale.written_teacher else f"train-{self._teacher.name}"
        settings = [
            f"network={network}",
            f"seed={run.seed}",
            f"steps={shipped.steps if shipped else scale.steps}",
            f"samples.labelled={scale.labelled}",
            *([f"samples.unlabelled={scale.unlabelled}"] if row.unlabelled else []),
            f"rhythm.bundle={0 if shipped else scale.bundle_every}",
            *scale.settings,
            *(shipped.settings if shipped else ()),
        ]
        before = [WORLD_JOB, *((lesson,) if row.taught else ())]
        if shipped and row is SHIPPED:
            first = Run(SHIPPED_FIRST, run.seed)
            settings += [f"start={self.bundle(first)}", *shipped.again]
            before.append(f"train-{first.name}")
        return Job(
            f"train-{run.name}",
            (
                *("train", "--resume", "--recipe", recipe),
                *(("--teacher", str(self.taught_by)) if row.taught else ()),
                *self._data("--split", ALL if shipped else LABELLED),
                *(("--unlabelled-split", UNLABELLED) if row.unlabelled else ()),
                *("--validation-split", VALIDATION, "--precision", scale.precision, "--device", self.device),
                *("--workers", "1" if self.device == "cpu" else "8"),
                *(part for setting in settings for part in ("--set", setting)),
                *("--out", str(self.run_folder(run))),
            ),
            self.bundle(run),
            tuple(before),
        )

    def _measure(self, run: Run) -> Job:
        return self._eval(
            f"eval-{run.name}",
            self.bundle(run),
            HELD_OUT,
            self.figures(run),
            self.predictions(run),
            f"train-{run.name}",
        )

    def _measure_on_the_way(self, run: Run) -> list[Job]:
        bundles = {step: snapshot_folder(self.run_folder(run), step) for step in self.steps_on_the_way()}
        bundles[self.scale.steps] = self.bundle(run)
        return [
            self._eval(
                f"eval-{run.name}-step-{step}",
                bundle,
                VALIDATION,
                self.figures_on_the_way(run, step),
                self.folder / "predictions" / f"{run.name}-step-{step}",
                f"train-{run.name}",
            )
            for step, bundle in bundles.items()
        ]

    def _eval(self, name: str, bundle: Path, split: str, figures: Path, predictions: Path, after: str) -> Job:
        return Job(
            name,
            (
                *("eval", "--bundle", str(bundle), *self._data("--split", split)),
                *("--device", self.device, "--processes", str(self.processes)),
                *("--save", str(predictions), "--json", str(figures)),
            ),
            figures,
            (after,),
        )

    def _data(self, *split: str) -> tuple[str, ...]:
        return ("--dataroot", str(self.dataroot), "--version", VERSION, *split)
