"""How large the experiment is: frozen dataclasses, one for each ``--scale``. All numbers are ours.

Every scale asks the same question: few annotated scenes, seen many times; more scenes on which only the teacher speaks;
and as many held-out scenes with road networks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinybev.errors import UserError

LABELLED, UNLABELLED, VALIDATION, HELD_OUT, ALL = "labelled", "unlabelled", "world_val", "held_out", "world_train"
"""The splits; ``ALL`` is the first two together, with annotations: what the shipped bundle is trained on."""

STUDENTS = ("alone", "s3", "oracle", "s2", "s1", "self")
"""Rows of the students, in the order in which they are trained: one that is stopped early has answered the main
question."""

HALVES = ("alone-half", "s3-half")
"""Rows with half of the steps, each a whole schedule of its own: what the other half adds shows how far the plateau is.
A curve within one run does not, since every schedule flattens towards its end."""


@dataclass(frozen=True)
class World:
    """The synthetic dataset.

    Attributes:
        seed: of the scenes.
        seconds: of a scene.
        width, height: of the pictures.
        labelled, unlabelled, validation, held_out: scenes.
    """

    seed: int
    seconds: float
    width: int
    height: int
    labelled: int
    unlabelled: int
    validation: int
    held_out: int

    @property
    def scenes(self) -> int:
        """All of them."""
        return self.labelled + self.unlabelled + self.validation + self.held_out

    @property
    def splits(self) -> dict[str, tuple[int, int]]:
        """The first and the last scene of each split."""
        ends, first = {}, 0
        for name, count in (
            (LABELLED, self.labelled),
            (UNLABELLED, self.unlabelled),
            (VALIDATION, self.validation),
            (HELD_OUT, self.held_out),
        ):
            ends[name] = (first, first + count - 1)
            first += count
        there = {name: (first, last) for name, (first, last) in ends.items() if first <= last}
        return {**there, ALL: (0, self.labelled + self.unlabelled - 1)}


@dataclass(frozen=True)
class Shipped:
    """The bundle that the demo shows: a student of its own, in runs that each start from the weights of the one before.

    Attributes:
        network, steps: as a recipe's.
        runs: fields of the recipe of each run, after those of the scale.
        more_world: the dataset of the later ones, of which ``ALL`` and ``VALIDATION`` are used.
    """

    network: str
    steps: int
    runs: tuple[tuple[str, ...], ...]
    more_world: World


@dataclass(frozen=True)
class Scale:
    """One size of the experiment.

    Attributes:
        name: as ``--scale`` takes it.
        world: the dataset.
        student, teacher: networks.
        steps: of every student's run; of ``HALVES`` half of them.
        teacher_steps: of the teacher's.
        labelled, unlabelled: samples of a step.
        bundle_every: steps between the bundles that show the score over training.
        seeds: of the students; there is one teacher, of the first.
        students: their rows, of ``STUDENTS`` and ``HALVES``, in the order in which they are trained.
        written_teacher: whether the teacher speaks once about every sample and is read from disk from then on; else it
            is run at every step, which takes no disk and sees what augmentation makes of the images.
        precision: of training.
        settings: further fields of every recipe.
        shipped: None where none is.
    """

    name: str
    world: World
    student: str
    teacher: str
    steps: int
    teacher_steps: int
    labelled: int
    unlabelled: int
    bundle_every: int
    seeds: tuple[int, ...]
    students: tuple[str, ...]
    written_teacher: bool
    precision: str
    settings: tuple[str, ...]
    shipped: Shipped | None


_EGO_STATUS = "telling.ego_status=true"
"""A vehicle knows its speed, and one image does not show it. The rows of scale ``cpu`` were measured without, and the
plans of its teacher teach nothing."""

_SMOKE = Scale(
    name="smoke",
    world=World(seed=1, seconds=6.0, width=176, height=99, labelled=2, unlabelled=1, validation=1, held_out=2),
    student="nano",
    teacher="teacher-nano",
    steps=8,
    teacher_steps=8,
    labelled=2,
    unlabelled=1,
    bundle_every=4,
    seeds=(0,),
    students=STUDENTS,
    written_teacher=True,
    precision="bf16",
    settings=(
        *("optimization.warmup_steps=2", "averaging.decay=0.9", "distill.ramp_steps=0"),
        *("rhythm.log=1", "rhythm.validation_samples=4", _EGO_STATUS),
    ),
    shipped=None,
)

_NOT_TAUGHT = (
    "distill.weights.plan=0",  # of its own scenes the teacher knows the plans by heart, of others few
    "distill.weights.box=0",  # the teacher's objects stand still
)
"""What the shipped bundle does not learn from its teacher."""

_CPU = Scale(
    name="cpu",
    world=World(seed=7, seconds=12.0, width=352, height=198, labelled=24, unlabelled=30, validation=6, held_out=50),
    student="nano",
    teacher="teacher-nano",
    steps=4500,
    teacher_steps=2000,
    labelled=4,
    unlabelled=2,
    bundle_every=1500,
    seeds=(0, 1, 2),
    students=STUDENTS,
    written_teacher=True,
    precision="bf16",
    settings=(
        "optimization.learning_rate=2e-3",
        "optimization.warmup_steps=200",
        "averaging.decay=0.998",
        "rhythm.log=10",
        "rhythm.checkpoint=200",
        "rhythm.validate=500",
        "rhythm.validation_samples=48",
    ),
    shipped=Shipped(
        network="mini",
        steps=6000,
        runs=(
            (_EGO_STATUS, "optimization.learning_rate=4e-3", *_NOT_TAUGHT),  # a rate found later to learn faster
            (
                *(_EGO_STATUS, "optimization.learning_rate=4e-3", *_NOT_TAUGHT),
                *("seed=1", "steps=5000", "optimization.learning_rate=2e-3"),  # validation losses still fell
            ),
            # By then training losses were below those of validation: more scenes.
            (_EGO_STATUS, "seed=2", "steps=6000", "rhythm.validate=1000"),
            # The two fell together to the end, and S3 had become better than annotations alone.
            (_EGO_STATUS, "seed=3", "steps=9000", "rhythm.validate=1000", *_NOT_TAUGHT),
        ),
        more_world=World(
            seed=21, seconds=12.0, width=352, height=198, labelled=144, unlabelled=0, validation=6, held_out=0
        ),
    ),
)

_CPU_PLATEAU = replace(
    _CPU, name="cpu-plateau", steps=9000, bundle_every=3000, seeds=(0,), students=("alone", "s3"), shipped=None
)
"""The main question at twice as many steps: what they add to the scores of ``cpu`` shows how far the plateau is."""

_CPU_CAMERAS = replace(
    _CPU,
    name="cpu-cameras",
    teacher="teacher-nano-cameras",
    steps=2000,
    seeds=(2, 0, 1),
    students=("alone", "s3"),
    shipped=None,
)
"""The main question with a teacher that has no lidar, as the paper's has none: how much of the distance between teacher
and student is the sensor's. Everyone gets as many steps as the teacher, which without lidar needs them to be ahead: it
is better by capacity and time alone. Its seed is the first, which in ``cpu`` no teacher has."""

_CPU_FEW = replace(
    _CPU_CAMERAS,
    name="cpu-few",
    world=replace(_CPU.world, labelled=6, unlabelled=48),
    bundle_every=500,
    seeds=(0, 1, 2),
    students=("alone", "s3", *HALVES),
    settings=(*_CPU.settings, "rhythm.validate=250", _EGO_STATUS),
)
"""The main question where two cores may reach the plateau: so few annotated scenes that everyone sees each of their
samples 53 times, and many more on which the teacher alone speaks."""

_GPU = Scale(
    name="gpu",
    world=World(
        seed=7, seconds=20.0, width=800, height=450, labelled=400, unlabelled=1200, validation=50, held_out=150
    ),
    student="base",
    teacher="teacher-base",
    steps=40_000,
    teacher_steps=40_000,
    labelled=16,
    unlabelled=16,
    bundle_every=5000,
    seeds=(0, 1, 2),
    students=(*STUDENTS, *HALVES),
    written_teacher=False,
    precision="bf16",
    settings=("optimization.learning_rate=5e-4", "samples.cache_size=[450,800]", _EGO_STATUS),
    shipped=None,
)

SCALES = {scale.name: scale for scale in (_SMOKE, _CPU, _CPU_PLATEAU, _CPU_CAMERAS, _CPU_FEW, _GPU)}
"""By name."""


def find_scale(name: str) -> Scale:
    """The scale of that name.

    Raises:
        UserError: there is none.
    """
    if name not in SCALES:
        raise UserError(f"--scale: expected one of {', '.join(SCALES)}, got {name!r}; choose one.")
    return SCALES[name]
