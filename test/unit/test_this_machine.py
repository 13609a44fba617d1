"""What is said is kept on this machine by the variable that the distribution knows, unless the user chose otherwise."""

from __future__ import annotations

import os

import pytest

from tinybev_ros.this_machine import keep_to_this_machine

LOCALHOST_ONLY, DISCOVERY_RANGE = "ROS_LOCALHOST_ONLY", "ROS_AUTOMATIC_DISCOVERY_RANGE"


@pytest.mark.parametrize(
    ("distribution", "before", "after"),
    [
        ("humble", {}, {LOCALHOST_ONLY: "1"}),
        ("humble", {LOCALHOST_ONLY: "0"}, {LOCALHOST_ONLY: "0"}),
        ("kilted", {}, {DISCOVERY_RANGE: "LOCALHOST"}),
        ("kilted", {DISCOVERY_RANGE: "SUBNET"}, {DISCOVERY_RANGE: "SUBNET"}),
        (None, {}, {DISCOVERY_RANGE: "LOCALHOST"}),
    ],
)
def test_the_distributions_own_variable_is_set(
    monkeypatch: pytest.MonkeyPatch, distribution: str | None, before: dict[str, str], after: dict[str, str]
) -> None:
    environment = {"ROS_DISTRO": distribution, **before} if distribution else before
    monkeypatch.setattr(os, "environ", dict(environment))
    keep_to_this_machine()
    assert {name: os.environ[name] for name in (LOCALHOST_ONLY, DISCOVERY_RANGE) if name in os.environ} == after
