"""What ``tinybev eval --bundle`` names: a student's bundle, or the folder of a cross-modal teacher."""

from __future__ import annotations

from pathlib import Path

from tinybev.runtime.bundle import load_bundle
from tinybev_training.eval.predictor import MeasuredNetwork
from tinybev_training.eval.student_predictor import MeasuredStudent
from tinybev_training.eval.teacher_predictor import MeasuredTeacher
from tinybev_training.teacher.stored import CONFIG_FILE


def load_measured_network(spec: str) -> MeasuredNetwork:
    """The network that ``spec`` names: a folder, or ``untrained:VARIANT``.

    Raises:
        UserError: there is none, or it is damaged.
    """
    folder = Path(spec)
    return MeasuredTeacher(folder) if (folder / CONFIG_FILE).is_file() else MeasuredStudent(load_bundle(spec))
