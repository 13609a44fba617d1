"""The node's configuration: what it takes, and the sentence with which it refuses the rest."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinybev.camera_names import camera_names
from tinybev.config import PARAMETERS, NodeConfig, checked_value, sync_options
from tinybev.config_docs import parameter_table
from tinybev.errors import UserError
from tinybev.types import CAMERAS
from tinybev_ros.topics import BASE_FRAME, MAP_FRAME, ODOMETRY, camera_image_topic, camera_info_topic

NOT_SIX = "expected {camera} or {CAMERA} in it, or 6 different names separated by commas, got "


def test_no_values_give_the_defaults_and_defaults_are_valid() -> None:
    assert NodeConfig.from_values({}) == NodeConfig()
    assert NodeConfig.from_values(dataclasses.asdict(NodeConfig())) == NodeConfig()


def test_values_replace_defaults_and_an_integer_is_a_number() -> None:
    config = NodeConfig.from_values({"score_threshold": 1, "threads": 2, "image_transport": "raw"})
    assert (config.score_threshold, config.threads, config.image_transport) == (1.0, 2, "raw")
    assert type(config.score_threshold) is float


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"score_treshold": 0.5}, "parameter 'score_treshold' is unknown: did you mean 'score_threshold'?"),
        ({"zzz": 1}, "parameter 'zzz' is unknown: remove it; config/tinybev.yaml lists them all."),
        ({"score_threshold": 1.5}, "parameter 'score_threshold': expected 0 to 1, got 1.5; correct it."),
        ({"score_threshold": math.nan}, "parameter 'score_threshold': expected 0 to 1, got nan; correct it."),
        ({"sync_max_wait": 0.0}, "parameter 'sync_max_wait': expected 0.01 to 2 s, got 0.0; correct it."),
        ({"threads": "two"}, "parameter 'threads': expected an integer, got 'two'; correct it."),
        ({"threads": True}, "parameter 'threads': expected an integer, got True; correct it."),
        ({"threads": 2.0}, "parameter 'threads': expected an integer, got 2.0; correct it."),
        ({"refine_plan": 1}, "parameter 'refine_plan': expected true or false, got 1; correct it."),
        ({"bundle": None}, "parameter 'bundle': expected a text, got None; correct it."),
        (
            {"camera_frame": "camera"},
            f"parameter 'camera_frame': {NOT_SIX}'camera'; correct it.",
        ),
        ({"image_topic": ""}, f"parameter 'image_topic': {NOT_SIX}''; correct it."),
        ({"image_topic": "a,b,c,d,e"}, f"parameter 'image_topic': {NOT_SIX}'a,b,c,d,e'; correct it."),
        ({"image_topic": "a,b,c,d,e,f,a"}, f"parameter 'image_topic': {NOT_SIX}'a,b,c,d,e,f,a'; correct it."),
        ({"camera_info_topic": "a,b,c,d,e, a"}, f"parameter 'camera_info_topic': {NOT_SIX}'a,b,c,d,e, a'; correct it."),
        ({"camera_frame": "a,b,c,d,e,"}, f"parameter 'camera_frame': {NOT_SIX}'a,b,c,d,e,'; correct it."),
        ({"device": "tpu"}, "parameter 'device': expected one of auto, cpu, cuda, got 'tpu'; choose one."),
    ],
)
def test_refusal_is_one_sentence_that_says_what_was_expected(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        NodeConfig.from_values(values)
    assert str(refusal.value) == sentence


@given(st.sampled_from(sorted(PARAMETERS)), st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8)))
def test_a_value_is_taken_in_its_own_type_and_range_or_refused(name: str, value: object) -> None:
    spec = PARAMETERS[name]
    try:
        taken = checked_value(name, value)
    except UserError:
        return
    assert type(taken) is type(spec.default)
    if isinstance(taken, int | float) and not isinstance(taken, bool):
        assert spec.minimum is None or taken >= spec.minimum
        assert spec.maximum is None or taken <= spec.maximum
    if spec.choices:
        assert taken in spec.choices


def test_templates_name_the_projects_own_topics_by_default_and_upper_case_on_request() -> None:
    config = NodeConfig()
    assert camera_names(config.image_topic) == {camera: camera_image_topic(camera) for camera in CAMERAS}
    assert camera_names(config.camera_info_topic) == {camera: camera_info_topic(camera) for camera in CAMERAS}
    assert camera_names("/{CAMERA}/image_rect_compressed")["CAM_BACK"] == "/CAM_BACK/image_rect_compressed"
    assert (config.map_frame, config.base_frame) == (MAP_FRAME, BASE_FRAME)
    assert config.odometry_topic == ODOMETRY


def test_a_list_names_the_cameras_in_their_order() -> None:
    config = NodeConfig.from_values({"image_topic": "front, front_right,back_right ,/back,back_left,front_left"})
    assert list(camera_names(config.image_topic).items()) == [
        ("CAM_FRONT", "front"),
        ("CAM_FRONT_RIGHT", "front_right"),
        ("CAM_BACK_RIGHT", "back_right"),
        ("CAM_BACK", "/back"),
        ("CAM_BACK_LEFT", "back_left"),
        ("CAM_FRONT_LEFT", "front_left"),
    ]


def test_table_has_one_row_per_parameter_with_its_default() -> None:
    rows = parameter_table().splitlines()[2:]
    assert len(rows) == len(dataclasses.fields(NodeConfig))
    for row, item in zip(rows, dataclasses.fields(NodeConfig), strict=True):
        assert row.startswith(f"| `{item.name}` |")
        assert row.replace("\\|", "").count("|") == 6
    assert "| `autostart` | `true` |" in rows[0]


def test_phases_are_learnt_or_given_for_every_camera() -> None:
    learnt = sync_options(NodeConfig.from_values({"sync_max_wait": 0.2, "sync_incomplete": "partial"}))
    assert (learnt.phases_s, learnt.max_wait_s, learnt.incomplete.value) == (None, 0.2, "partial")
    given = sync_options(NodeConfig.from_values({"sync_phases": "0, 0.01,0.02, 0.03,0.04,0.05", "sync_period": 0.1}))
    assert given.phases_s == dict(zip(CAMERAS, (0.0, 0.01, 0.02, 0.03, 0.04, 0.05), strict=True))
    assert given.period_s == 0.1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"sync_phases": "0, 1, 2", "sync_period": 0.1},
            r"'sync_phases': expected 'learn' or 6 times .* got '0, 1, 2'",
        ),
        ({"sync_phases": "soon", "sync_period": 0.1}, r"'sync_phases': expected 'learn' or 6 times .* got 'soon'"),
        ({"sync_phases": "0,0,0,0,0,nan", "sync_period": 0.1}, r"'sync_phases': expected 'learn' or 6 times"),
        ({"sync_phases": "0,0,0,0,0,0"}, r"'sync_phases' and 'sync_period' belong together"),
        ({"sync_period": 0.1}, r"'sync_phases' and 'sync_period' belong together"),
        ({"sync_phases": "0,0,0,0,0,0.2", "sync_period": 0.1}, r"within one period"),
    ],
)
def test_phases_that_make_no_rig_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        sync_options(NodeConfig.from_values(values))
