"""A scale -> its jobs: the world, every run's training, its bundles on the way, and their measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinybev.errors import UserError
from tinybev_training.reproduce.job import Job
from tinybev_training.reproduce.scale import ALL, HELD_OUT, LABELLED, UNLABELLED, VALIDATION, Scale, World
from tinybev_training.teacher.teaching_summary import SUMMARY_FILE
from tinybev_training.train.snapshots import snapshot_folder
from tinybev_training.world.dataset_writer import VERSION

WORLD_JOB, MORE_WORLD_JOB, TEACH_JOB, TEACH_MORE_JOB = "world", "more-world", "teach", "teach-more"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: of the row.
        recipe: that it is trained by.
        title: as the table has it.
        taught: whether our teacher teaches it.
        unlabelled: whether it hears a teacher on the scenes that are not annotated.
        split: whose annotations it learns from.
        more: whether that is a split of the further scenes that the shipped bundle is trained on.
        halved: whether it is given half of the steps.
    """

    name: str
    recipe: str
    title: str
    taught: bool = False
    unlabelled: bool = False
    split: str = LABELLED
    more: bool = False
    halved: bool = False


TEACHER = Row("teacher", "teacher", "teacher")
ALONE = Row("alone", "alone", "student alone")
ALONE_HALF = Row("alone-half", "alone", "student alone, half of the steps", halved=True)
S1 = Row("s1", "s1", "S1: feature level", taught=True, unlabelled=True)
S2 = Row("s2", "s2", "S2: output level", taught=True, unlabelled=True)
S3 = Row("s3", "s3", "S3: joint, region-aware", taught=True, unlabelled=True)
S3_HALF = Row("s3-half", "s3", "S3, half of the steps", taught=True, unlabelled=True, halved=True)
SELF = Row("self", "self", "teacher-free: its own average", unlabelled=True)
ORACLE = Row("oracle", "alone", "student alone, all scenes annotated", split=ALL)
"""What a teacher that is never wrong could say on the scenes without annotations: the annotations."""
SHIPPED_FIRST = Row("shipped", "s3", "shipped bundle after its first run", taught=True, split=ALL)
SHIPPED_AGAIN = Row("shipped-again", "s3", "shipped bundle after its second run", taught=True, split=ALL)
SHIPPED_MORE = Row("shipped-more", "alone", "shipped bundle after its third run", split=ALL, more=True)
SHIPPED = Row("shipped-taught", "s3", "shipped bundle, after its fourth run", taught=True, split=ALL, more=True)
SHIPPED_ROWS = (SHIPPED_FIRST, SHIPPED_AGAIN, SHIPPED_MORE, SHIPPED)
"""Each run starts from the weights of the one before."""
ROWS = (TEACHER, ALONE_HALF, ALONE, S1, S2, S3_HALF, S3, SELF, ORACLE)
"""In the order of the table."""
PICTURED = (TEACHER, ALONE, S3)
"""Whose view of the same held-out frames is drawn, in this order."""


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
        wanted = [row for name in self.scale.students for row in ROWS if row.name == name]
        students = [Run(row, seed) for seed in others for row in wanted]
        shipped = SHIPPED_ROWS if self.scale.shipped else ()
        return (*(Run(row, first) for row in (TEACHER, *shipped, *wanted)), *students)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All of them, each after those that it needs."""
        trained = [job for run in self.runs for job in (self._train(run), *self._measure(run))]
        on_the_way = [job for run in self.curve_runs for job in self._measure_on_the_way(run)]
        worlds = [self._world(WORLD_JOB, self.scale.world, self.dataroot)]
        teach = []
        if self.scale.shipped:
            worlds.append(self._world(MORE_WORLD_JOB, self.scale.shipped.more_world, self._more_dataroot))
        if self.scale.written_teacher:
            teach.append(self._teach(TEACH_JOB, worlds[0], self.dataroot, (LABELLED, UNLABELLED), self.taught_by))
            for more_world in worlds[1:]:
                out = self._more_taught_by
                teach.append(self._teach(TEACH_MORE_JOB, more_world, self._more_dataroot, (ALL,), out))
        return (*worlds, *trained[:2], *teach, *trained[2:], *on_the_way)

    def jobs_of(self, names: Sequence[str]) -> tuple[Job, ...]:
        """The jobs of the runs of those names, and what they need.

        Raises:
            UserError: there is no run of a name.
        """
        known = {run.name for run in self.runs if run.row not in SHIPPED_ROWS[:-1]}  # those come with the last one
        if wrong := sorted(set(names) - known):
            raise UserError(
                f"--runs: expected some of {', '.join(sorted(known))}, got {wrong[0]!r}; choose from these."
            )
        wanted: set[str] = set()
        for job in reversed(self.jobs):  # each comes after those that it needs
            if job.run in names or job.name in wanted:
                wanted |= {job.name, *job.after}
        return tuple(job for job in self.jobs if job.name in wanted)

    @property
    def curve_runs(self) -> tuple[Run, ...]:
        """Whose score is plotted over training."""
        return tuple(run for run in self.runs if run.row in ROWS and run.seed == self.scale.seeds[0])

    @property
    def dataroot(self) -> Path:
        """Of the synthetic dataset."""
        return self.folder / "world"

    @property
    def _more_dataroot(self) -> Path:
        """Of the further scenes that the shipped bundle is trained on."""
        return self.folder / MORE_WORLD_JOB

    def runs_before(self, run: Run) -> tuple[Run, ...]:
        """Those whose weights a run of the shipped bundle goes on from, the first one first; of others none."""
        if run.row not in SHIPPED_ROWS:
            return ()
        return tuple(Run(row, run.seed) for row in SHIPPED_ROWS[: SHIPPED_ROWS.index(run.row)])

    def run_folder(self, run: Run) -> Path:
        """What training leaves."""
        return self.folder / "runs" / run.name

    @property
    def taught_by(self) -> Path:
        """What ``--teacher`` names: what the teacher said, or its run."""
        return self.folder / "teaching" if self.scale.written_teacher else self.run_folder(self._teacher)

    @property
    def _more_taught_by(self) -> Path:
        """The same of the further scenes."""
        return self.folder / "more-teaching" if self.scale.written_teacher else self.taught_by

    def figures(self, run: Run) -> Path:
        """What ``tinybev eval --json`` leaves of the held-out scenes."""
        return self.folder / "eval" / f"{run.name}.json"

    def predictions(self, run: Run) -> Path:
        """Of the held-out scenes."""
        return self.folder / "predictions" / run.name

    def bundle(self, run: Run) -> Path:
        """Of the end of training."""
        return self.run_folder(run) / "bundle"

    def steps_on_the_way(self, run: Run) -> Sequence[int]:
        """After which steps of a run of ``ROWS`` there is a bundle, the last one included."""
        steps = self.scale.teacher_steps if run.row is TEACHER else self.scale.steps
        steps = steps // 2 if run.row.halved else steps
        return [*range(self.scale.bundle_every, steps, self.scale.bundle_every), steps]

    def figures_on_the_way(self, run: Run, step: int) -> Path:
        """What ``tinybev eval --json`` leaves of the validation scenes after ``step``."""
        return self.folder / "eval" / f"{run.name}-step-{step}.json"

    def _world(self, name: str, world: World, dataroot: Path) -> Job:
        return Job(
            name,
            (
                *("world", "--scenes", str(world.scenes), "--seed", str(world.seed)),
                *("--duration", f"{world.seconds:g}", "--size", str(world.width), str(world.height)),
                *("--splits", *(f"{name}={first}-{last}" for name, (first, last) in world.splits.items())),
                *("--processes", str(self.processes), "--out", str(dataroot)),
            ),
            dataroot / VERSION,
        )

    @property
    def _teacher(self) -> Run:
        return Run(TEACHER, self.scale.seeds[0])

    def _teach(self, name: str, world: Job, dataroot: Path, splits: Sequence[str], out: Path) -> Job:
        return Job(
            name,
            (
                *("teach", "--teacher", str(self.run_folder(self._teacher))),
                *self._data("--split", *splits, of=dataroot),
                *(("--bf16",) if self.scale.precision == "bf16" else ()),
                *("--device", self.device, "--out", str(out)),
            ),
            out / SUMMARY_FILE,
            (world.name, f"train-{self._teacher.name}"),
        )

    def _train(self, run: Run) -> Job:
        scale, row = self.scale, run.row
        shipped = scale.shipped if row in SHIPPED_ROWS else None
        network = shipped.network if shipped else scale.teacher if row is TEACHER else scale.student
        written = TEACH_MORE_JOB if row.more else TEACH_JOB
        lesson = written if scale.written_teacher else f"train-{self._teacher.name}"
        taught_by = self._more_taught_by if row.more else self.taught_by
        settings = [
            f"network={network}",
            f"seed={run.seed}",
            f"steps={shipped.steps if shipped else self.steps_on_the_way(run)[-1]}",
            f"samples.labelled={scale.labelled}",
            *([f"samples.unlabelled={scale.unlabelled}"] if row.unlabelled else []),
            f"rhythm.bundle={0 if shipped else scale.bundle_every}",
            *scale.settings,
        ]
        before = [MORE_WORLD_JOB if row.more else WORLD_JOB, *((lesson,) if row.taught else ())]
        if shipped:
            settings += shipped.runs[SHIPPED_ROWS.index(row)]
            for earlier in self.runs_before(run)[-1:]:
                settings.append(f"start={self.bundle(earlier)}")
                before.append(f"train-{earlier.name}")
        return Job(
            f"train-{run.name}",
            (
                *("train", "--resume", "--recipe", row.recipe),
                *(("--teacher", str(taught_by)) if row.taught else ()),
                *self._data("--split", row.split, of=self._more_dataroot if row.more else None),
                *(("--unlabelled-split", UNLABELLED) if row.unlabelled else ()),
                *("--validation-split", VALIDATION, "--precision", scale.precision, "--device", self.device),
                *("--workers", "1" if self.device == "cpu" else "8"),
                *(part for setting in settings for part in ("--set", setting)),
                *("--out", str(self.run_folder(run))),
            ),
            self.bundle(run),
            tuple(before),
            run.name,
        )

    def _measure(self, run: Run) -> list[Job]:
        """On the held-out scenes; of the shipped bundle's runs the last one."""
        if run.row in SHIPPED_ROWS[:-1]:
            return []
        return [self._eval(run, "", self.bundle(run), HELD_OUT, self.figures(run), self.predictions(run))]

    def _measure_on_the_way(self, run: Run) -> list[Job]:
        steps = self.steps_on_the_way(run)
        bundles = {step: snapshot_folder(self.run_folder(run), step) for step in steps}
        bundles[steps[-1]] = self.bundle(run)
        return [
            self._eval(
                run,
                f"-step-{step}",
                bundle,
                VALIDATION,
                self.figures_on_the_way(run, step),
                self.folder / "predictions" / f"{run.name}-step-{step}",
            )
            for step, bundle in bundles.items()
        ]

    def _eval(self, run: Run, which: str, bundle: Path, split: str, figures: Path, predictions: Path) -> Job:
        return Job(
            f"eval-{run.name}{which}",
            (
                *("eval", "--bundle", str(bundle), *self._data("--split", split)),
                *("--device", self.device, "--processes", str(self.processes)),
                *("--save", str(predictions), "--json", str(figures)),
            ),
            figures,
            (f"train-{run.name}",),
            run.name,
        )

    def _data(self, *split: str, of: Path | None = None) -> tuple[str, ...]:
        return ("--dataroot", str(of or self.dataroot), "--version", VERSION, *split)
