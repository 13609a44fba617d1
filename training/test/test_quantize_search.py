"""Which modules stay in floating point, against networks whose losses are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tinybev_training.eval.measure import Measure
from tinybev_training.quantize_search import Losses, Tried, relative_losses, search, table

from tinybev.errors import UserError

COSTS = {"stem": 0.03, "neck": 0.002, "head": 0.02, "encoder": 0.001}


def additive(kept: Sequence[str]) -> Losses:
    """A network whose modules each cost a share of their own."""
    return {"detection.mAP": sum(cost for name, cost in COSTS.items() if name not in kept)}


def test_nothing_is_kept_where_the_limit_holds() -> None:
    assert search(list(COSTS), 0.06, additive) == [Tried((), additive(()))]


def test_what_costs_most_is_kept_first_and_no_more_than_needed() -> None:
    tried = search(list(COSTS), 0.01, additive)
    assert tried[-1].kept == ("stem", "head")
    assert tried[-1].worst == pytest.approx(0.003)
    assert [one.kept for one in tried[1:5]] == [(name,) for name in COSTS]
    assert "| stem, head | +0.30 |" in table(tried)


def test_the_search_goes_on_from_what_is_kept_anyway() -> None:
    assert search(list(COSTS), 0.03, additive, ["stem"]) == [Tried(("stem",), additive(["stem"]))]
    tried = search(list(COSTS), 0.01, additive, ["neck"])
    assert [one.kept for one in tried[1:4]] == [("neck", name) for name in COSTS if name != "neck"]
    assert tried[-1].kept == ("neck", "stem", "head")


def test_a_metric_that_needs_one_module_does_not_hide_what_the_others_need() -> None:
    def measure(kept: Sequence[str]) -> Losses:
        noise = 0.01 * len(kept)  # of the plan, where its head is in int8
        return {"planning.uniad.L2_avg": 0.0 if "planning" in kept else 1.0 - noise, **additive(kept)}

    tried = search([*COSTS, "planning"], 0.01, measure)
    assert tried[-1].kept == ("planning", "stem", "head")


def test_all_are_kept_where_nothing_helps() -> None:
    tried = search(list(COSTS), 0.01, lambda kept: {"map.IoU": 0.5})
    assert set(tried[-1].kept) == set(COSTS)
    assert tried[-1].worst == 0.5


def test_losses_are_relative_and_have_the_sign_of_their_metric() -> None:
    reference = {
        "detection": {"mAP": Measure(0.4, 10)},
        "map": {"IoU": Measure(0.0, 4)},
        "planning": {"uniad.L2_avg": Measure(2.0, 5)},
    }
    measured = {
        "detection": {"mAP": Measure(0.3, 10)},
        "map": {"IoU": Measure(0.1, 4)},
        "planning": {"uniad.L2_avg": Measure(2.1, 5)},
    }
    found = relative_losses(reference, measured)
    assert found == pytest.approx({"detection.mAP": 0.25, "planning.uniad.L2_avg": 0.05})
    with pytest.raises(UserError, match=r"expected planning.uniad.L2_avg of the int8 network"):
        relative_losses(reference, {"detection": measured["detection"]})
    with pytest.raises(UserError, match="scores above 0 in at least one of"):
        relative_losses({"map": reference["map"]}, measured)
