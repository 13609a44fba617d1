"""A recipe: everything that decides what a training run makes of a dataset, in one frozen dataclass.

What does not decide it (where the dataset lies, how many processes and workers there are) is not in a recipe, see
``place``. Every run writes its recipe beside its checkpoints, and reads it back when it goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from tinybev.errors import UserError
from tinybev_training.data.training_set import Augmentation
from tinybev_training.distill.config import DistillConfig
from tinybev_training.losses.targets import AgentFilter
from tinybev_training.losses.terms import SupervisedWeights
from tinybev_training.train.typed_json import from_json, to_json

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

SELF = "self"
"""As ``Recipe.teacher``: the student's own average teaches it."""


@dataclass(frozen=True)
class Samples:
    """What a step sees.

    Attributes:
        labelled: annotated samples of a step, over all processes.
        unlabelled: samples of a step, of ``Recipe.unlabelled_split``, on which only the teacher speaks.
        accumulate: parts in which every process takes its share, one after the other, to spare memory. Batch
            normalisation, and means over objects, see one part at a time.
        augmentation: what is varied; None for nothing.
        cache_size: (height, width) at which decoded images are kept on disk, whole; None to decode them every time.
    """

    labelled: int = 16
    unlabelled: int = 0
    accumulate: int = 1
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    cache_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Optimization:
    """AdamW, its learning rate rising linearly and then falling along a cosine, both by steps.

    Attributes:
        learning_rate: the highest.
        warmup_steps: over which it rises.
        final_fraction: of the highest, at the last step.
        weight_decay: of weights with two or more axes; biases and normalisation have none.
        betas: of AdamW.
        clip_norm: largest norm of the gradient of all weights; larger ones are scaled to it.
    """

    learning_rate: float = 1e-3
    warmup_steps: int = 500
    final_fraction: float = 0.01
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 10.0


@dataclass(frozen=True)
class Averaging:
    """The exponential moving average of the weights, which is validated, exported, and may teach.

    Attributes:
        decay: of the past, per step; after n steps no more than (1 + n) / (10 + n), so that a short run is not
            averaged with its start (ours).
    """

    decay: float = 0.999


@dataclass(frozen=True)
class Telling:
    """What the planner is told in training, so that on the vehicle it works with and without.

    Attributes:
        command_dropout, goal_dropout: how often the command, the goal point is withheld.
        ego_status: whether speed, yaw rate and acceleration are told at all.
        ego_status_dropout: how often they are withheld even so.
    """

    command_dropout: float = 0.25
    goal_dropout: float = 0.5
    ego_status: bool = False
    ego_status_dropout: float = 0.5


@dataclass(frozen=True)
class Rhythm:
    """How often, in steps.

    Attributes:
        log: values are written to the curves.
        checkpoint: the last checkpoint is replaced.
        validate: the average is measured on the validation split.
        validation_samples: at most, evenly spread over the split.
        bundle: the average is exported, to be measured as it was then; 0 for at the end only.
    """

    log: int = 20
    checkpoint: int = 500
    validate: int = 1000
    validation_samples: int = 200
    bundle: int = 0


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        name: of the recipe it was made from.
        network: what is trained: a variant of the student, or of the teacher network.
        memory_frames: earlier keyframes the network sees; None for the variant's own number.
        start: bundle whose weights the network starts from, a folder or ``shipped:NAME``; "" for seeded ones.
        image_weights: file of the image backbone's first weights, see ``image_weights``; "" for seeded ones.
        split: of the dataset, annotated.
        unlabelled_split: on which only the teacher speaks; "" for none.
        validation_split: "" for none.
        seed: of weights, order, augmentation and everything else that is drawn.
        steps: of the optimizer.
        precision: of the network's arithmetic; weights are float32 in any case.
        freeze_normalisation: batch normalisation uses its running statistics and leaves them as they are.
        int8: whether layers compute with inputs and weights rounded as the int8 backend rounds them, see
            ``rounded_network``; of a student without memory.
        samples, optimization, averaging, telling, rhythm: see there.
        supervised: weights of what is learnt from annotations and lidar.
        agent_filter: which annotated agents are learnt from.
        teacher: "" for none, ``self`` for the student's own average, else the folder of a trained teacher's bundle or
            of a teacher's dumps.
        distill: what is learnt from the teacher.
    """

    name: str
    network: str = "nano"
    memory_frames: int | None = None
    start: str = ""
    image_weights: str = ""
    split: str = "train"
    unlabelled_split: str = ""
    validation_split: str = "val"
    seed: int = 0
    steps: int = 20_000
    precision: Precision = "32-true"
    freeze_normalisation: bool = False
    int8: bool = False
    samples: Samples = field(default_factory=Samples)
    optimization: Optimization = field(default_factory=Optimization)
    averaging: Averaging = field(default_factory=Averaging)
    telling: Telling = field(default_factory=Telling)
    rhythm: Rhythm = field(default_factory=Rhythm)
    supervised: SupervisedWeights = field(default_factory=SupervisedWeights)
    agent_filter: AgentFilter = field(default_factory=AgentFilter)
    teacher: str = ""
    distill: DistillConfig = field(default_factory=DistillConfig)

    def to_json(self) -> str:
        """The text of its file."""
        return json.dumps(to_json(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> Recipe:
        """The inverse of :meth:`to_json`; ``source`` names the file in complaints.

        Raises:
            UserError: not JSON, or a field is missing, unknown or of the wrong type.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{source}: expected JSON, got {error}; restore the file.") from error
        return from_json(cls, values, source)

    def check(self) -> None:
        """Refuses what cannot be trained.

        Raises:
            UserError: a number is out of range, or fields contradict each other.
        """
        for name, value, low, high in (
            ("seed", self.seed, 0, 2**31 - 1),
            ("steps", self.steps, 1, 10**9),
            ("memory_frames", self.memory_frames or 0, 0, 8),
            ("samples.labelled", self.samples.labelled, 1, 10**6),
            ("samples.unlabelled", self.samples.unlabelled, 0, 10**6),
            ("samples.accumulate", self.samples.accumulate, 1, 10**6),
            ("samples.cache_size", min(self.samples.cache_size or (1,)), 1, 10**5),
            ("optimization.learning_rate", self.optimization.learning_rate, 0, 10),
            ("optimization.warmup_steps", self.optimization.warmup_steps, 0, 10**9),
            ("optimization.final_fraction", self.optimization.final_fraction, 0, 1),
            ("optimization.weight_decay", self.optimization.weight_decay, 0, 10),
            ("optimization.betas[0]", self.optimization.betas[0], 0, 1),
            ("optimization.betas[1]", self.optimization.betas[1], 0, 1),
            ("optimization.clip_norm", self.optimization.clip_norm, 1e-6, 1e6),
            ("averaging.decay", self.averaging.decay, 0, 1),
            ("telling.command_dropout", self.telling.command_dropout, 0, 1),
            ("telling.goal_dropout", self.telling.goal_dropout, 0, 1),
            ("telling.ego_status_dropout", self.telling.ego_status_dropout, 0, 1),
            ("rhythm.log", self.rhythm.log, 1, 10**9),
            ("rhythm.checkpoint", self.rhythm.checkpoint, 1, 10**9),
            ("rhythm.validate", self.rhythm.validate, 1, 10**9),
            ("rhythm.validation_samples", self.rhythm.validation_samples, 1, 10**9),
            ("rhythm.bundle", self.rhythm.bundle, 0, 10**9),
        ):
            if not low <= value <= high:
                raise UserError(f"{name}: expected {low} to {high}, got {value}; correct the recipe.")
        if self.start and self.image_weights:
            raise UserError(
                f"start and image_weights: expected at most one, got {self.start!r} and {self.image_weights!r}; leave "
                "one out, a bundle has an image backbone."
            )
        distils = any(vars(self.distill.weights).values())
        if distils and not self.teacher:
            raise UserError(f"recipe {self.name!r} learns from a teacher and none is named; name it with --teacher.")
        if self.teacher and not distils:
            raise UserError(
                f"a teacher {self.teacher!r} is named and every weight of distillation is 0; set one, or name none."
            )
        if bool(self.unlabelled_split) != bool(self.samples.unlabelled):
            raise UserError(
                "unlabelled_split and samples.unlabelled: expected both or neither, got "
                f"{self.unlabelled_split!r} and {self.samples.unlabelled}; set both."
            )
        if self.unlabelled_split and not self.teacher:
            raise UserError("unlabelled_split: on it only a teacher speaks, and none is named; name it with --teacher.")
