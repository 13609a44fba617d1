"""Which modules stay in floating point, so that a bundle in int8 is as accurate as in float32 up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tinybev.errors import UserError
from tinybev_training.eval.evaluate import Tasks
from tinybev_training.eval.table import find

HIGHER_IS_BETTER = {
    "detection.mAP": True,
    "map.IoU": True,
    "occupancy.IoU_near": True,
    "occupancy.IoU_far": True,
    "planning.uniad.L2_avg": False,
}
"""What is held, as TASK.NAME."""

Losses = Mapping[str, float]
"""By metric: the relative loss, negative where int8 is better."""
Measure = Callable[[Sequence[str]], Losses]
"""The losses with these modules in floating point and the rest in int8."""


@dataclass(frozen=True)
class Tried:
    """One choice of modules that stay in floating point, and what it loses."""

    kept: tuple[str, ...]
    losses: Losses

    @property
    def worst(self) -> float:
        """The greatest loss of any metric."""
        return max(self.losses.values())


def relative_losses(reference: Tasks, measured: Tasks) -> Losses:
    """What ``measured`` loses, as a share of ``reference``; metrics that are 0 or absent there are left out.

    Raises:
        UserError: no metric is left, or ``measured`` lacks one that the reference has.
    """
    losses = {}
    for metric, higher in HIGHER_IS_BETTER.items():
        wanted, got = find(reference, metric), find(measured, metric)
        if not wanted.valid or wanted.value == 0:
            continue
        if not got.valid:
            raise UserError(f"expected {metric} of the int8 network as of the float32 one, got nothing to measure.")
        change = (wanted.value - got.value) / wanted.value
        losses[metric] = change if higher else -change
    if not losses:
        raise UserError(
            "expected a bundle that scores above 0 in at least one of "
            f"{', '.join(HIGHER_IS_BETTER)}, got none; check trained weights, on a split that has annotations."
        )
    return losses


def search(groups: Sequence[str], limit: float, measure: Measure, start: Sequence[str] = ()) -> list[Tried]:
    """All that was tried; the last one is the choice.

    ``start`` alone in floating point first. Where that loses more than ``limit``, each other group besides; then groups
    are kept one more at a time, until it holds or all are kept: each time the one that alone leaves the least loss of
    the metric that now loses most. So a group that one metric cannot do without does not hide what the others need.
    """
    first = tuple(start)
    tried = [Tried(first, measure(first))]
    if tried[0].worst <= limit:
        return tried
    others = [group for group in groups if group not in first]
    alone = {group: Tried((*first, group), measure((*first, group))) for group in others}
    tried += alone.values()
    chosen = tried[0]
    while chosen.worst > limit and others:
        metric = max(chosen.losses, key=lambda one: chosen.losses[one])
        group = min(others, key=lambda one: alone[one].losses[metric])
        others.remove(group)
        kept = (*chosen.kept, group)
        chosen = alone[group] if kept == alone[group].kept else Tried(kept, measure(kept))
        tried.append(chosen)
    return tried


def table(tried: Sequence[Tried]) -> str:
    """What was tried as a Markdown table, losses in per cent."""
    metrics = list(tried[0].losses)
    lines = [f"| in floating point | {' | '.join(metrics)} |", f"| --- |{' ---: |' * len(metrics)}"]
    for one in tried:
        cells = " | ".join(f"{100 * one.losses[metric]:+.2f}" for metric in metrics)
        lines.append(f"| {', '.join(one.kept) or 'nothing'} | {cells} |")
    return "\n".join([*lines, "losses against float32, in per cent; the last row is what was chosen"])
