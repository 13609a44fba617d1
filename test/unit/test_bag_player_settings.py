"""The player's settings: the same from a command line and from ROS parameters, and refused at the door."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from tinybev.errors import UserError
from tinybev_ros.player_settings import PlayerSettings, add_setting_arguments, setting_descriptions, settings_from


def from_command_line(*arguments: str) -> PlayerSettings:
    parser = argparse.ArgumentParser()
    add_setting_arguments(parser)
    return settings_from(vars(parser.parse_args(arguments)))


def from_parameters(**given: Any) -> PlayerSettings:
    defaults = {name: getattr(PlayerSettings("bag"), name) for name in setting_descriptions()}
    return settings_from({**defaults, **given})


def test_command_line_and_parameters_agree() -> None:
    line = ["bag", "--rate", "2", "--loop", "--start", "1.5", "--wait-for", "/a", "/b", "--wait-timeout", "5"]
    line += ["--exclude", "/c", "/d/"]
    parameters = {"rate": 2, "loop": True, "start": 1.5, "wait_for": ["/a", "/b"], "wait_timeout": 5}
    parameters["exclude"] = ["/c", "/d/"]
    expected = PlayerSettings("bag", 2.0, True, 1.5, 0.0, ("/a", "/b"), 5.0, ("/c", "/d/"))
    assert from_command_line(*line) == from_parameters(**parameters) == expected
    assert from_command_line("bag") == from_parameters() == PlayerSettings("bag")


def test_topics_are_left_out_by_name_or_by_what_they_begin_with() -> None:
    settings = from_parameters(exclude=["/rosout", "/tinybev/"])
    out = ["/rosout", "/tinybev/path", "/tinybev/plan/markers"]
    kept = ["/rosout2", "/x/rosout", "/tinybev", "/tinybev2/path"]
    assert [topic for topic in out + kept if settings.leaves_out(topic)] == out
    assert not any(map(from_parameters().leaves_out, out))


@pytest.mark.parametrize("nothing", ["", [], [""], ()])
def test_an_empty_name_stands_for_no_topic(nothing: Any) -> None:
    assert from_parameters(wait_for=nothing).wait_for == ()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rate": 0}, "rate: expected a number that is more than 0, got 0"),
        ({"rate": -1.0}, "rate: expected"),
        ({"rate": float("nan")}, "rate: expected"),
        ({"rate": float("inf")}, "rate: expected"),
        ({"rate": "fast"}, "rate: expected a number, got 'fast'"),
        ({"rate": True}, "rate: expected a number, got True"),
        ({"start": -0.1}, "start: expected a number that is 0 or more"),
        ({"duration": -1}, "duration: expected"),
        ({"wait_timeout": 0.0}, "wait_timeout: expected"),
        ({"loop": 1}, "loop: expected true or false, got 1"),
        ({"wait_for": [3]}, "wait_for: expected a list of topic names"),
        ({"wait_for": 7}, "wait_for: expected a list of topic names, got 7"),
        ({"bag": ""}, "expected the rosbag2 to play"),
        ({"bag": 3}, "bag: expected a text, got 3"),
    ],
)
def test_wrong_values_are_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        from_parameters(**given)
    assert str(caught.value).startswith(sentence)
