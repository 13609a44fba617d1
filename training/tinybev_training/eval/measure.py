"""A figure together with how much it was measured on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One metric.

    Attributes:
        value: the figure, NaN where there was nothing to measure.
        count: how many things (samples, boxes, cells, classes; the metric's description says which) it rests on.
    """

    value: float
    count: int

    @property
    def valid(self) -> bool:
        """Whether there was anything to measure."""
        return self.count > 0 and math.isfinite(self.value)

    def __str__(self) -> str:
        return f"{self.value:.3f}" if self.valid else f"nothing to measure (count {self.count})"


NOTHING = Measure(math.nan, 0)
"""There was nothing to measure."""


def ratio(total: float, count: int) -> Measure:
    """``total / count``, or nothing to measure where ``count`` is 0."""
    return Measure(total / count, count) if count else NOTHING


def mean(measures: Iterable[Measure]) -> Measure:
    """The mean of the valid ones, each with equal weight; its count is the number of valid ones."""
    values = [measure.value for measure in measures if measure.valid]
    return ratio(sum(values), len(values))


Measures = dict[str, Measure]
"""Metrics by their usual names; a name with a dot, as in ``uniad.L2_3s``, belongs to a group within its task."""
