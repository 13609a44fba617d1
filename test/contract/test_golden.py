"""Golden outputs: a seeded student on a fixed input says today what it said when they were written.

They catch what changes every output a little and no other test's pass: an initialisation, an axis of a reshape, the
order of two operations. After a change that is meant, write them anew and look at the difference:

    TINYBEV_WRITE_GOLDEN=1 python -m pytest test/contract/test_golden.py && git diff --stat test/contract/golden
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from student_inputs import flat, student_inputs

from tinybev.model.config import StudentConfig, find_variant
from tinybev.model.student import StudentInputs
from tinybev.runtime.bundle import load_bundle

SPEC = "untrained:nano:7"
GOLDEN = Path(__file__).parent / "golden" / "student_nano.json"
PROBES = 24
"""Values kept of each output, evenly spaced in memory."""
TOLERANCES = {
    "depth_logits_BNDHW": 1e-3,
    "bev_BCXY": 5e-3,
    "detection": 2e-3,
    "map_BKXY": 5e-3,
    "occupancy": 5e-3,
    "plan": 1e-5,
    "agents": 1e-3,
    "motion": 2e-3,
    "stem_BCXY": 5e-3,
}
"""Absolute, by head: about a thousandth of the outputs' spread, far above what another CPU's kernels change."""


def fixed_inputs(config: StudentConfig) -> StudentInputs:
    """Waves for images: no random numbers, so that any machine makes the same."""
    height, width = config.image_size
    v, u = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    images = torch.empty(1, 6, height, width, 3, dtype=torch.uint8)
    for camera in range(6):
        for channel in range(3):
            wave = torch.sin((3 + camera) * math.pi * u + channel) * torch.cos(5 * math.pi * v)
            images[0, camera, ..., channel] = (120 + 60 * wave).round().to(torch.uint8)
    inputs = student_inputs(config)
    told = inputs.conditions._replace(
        goal_B3=torch.tensor([[0.5, 0.1, 1.0]]), ego_B4=torch.tensor([[0.8, 0.0, 0.1, 1.0]])
    )
    return inputs._replace(images_BNHW3=images, conditions=told)


def described(tensor: torch.Tensor) -> dict[str, list[float]]:
    values = tensor.double().flatten().numpy()
    probes = values[np.linspace(0, len(values) - 1, min(PROBES, len(values))).astype(int)]
    return {"moments": [values.mean(), values.std(), values.min(), values.max()], "probes": probes.tolist()}


@pytest.fixture(scope="module")
def outputs() -> dict[str, dict[str, list[float]]]:
    bundle = load_bundle(SPEC)
    with torch.inference_mode():
        said = bundle.build_student()(fixed_inputs(bundle.config))
    # The order of objects with nearly the same score is no promise; their scores are.
    return {
        name: described(value)
        for name, value in flat(said).items()
        if name not in ("agents.class_BA", "agents.cell_BA")
    }


def test_the_student_says_what_it_said(outputs: dict[str, dict[str, list[float]]]) -> None:
    if os.environ.get("TINYBEV_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps({"spec": SPEC, "outputs": outputs}, indent=1) + "\n")
        pytest.skip(f"wrote {GOLDEN}")
    golden = json.loads(GOLDEN.read_text())
    assert golden["spec"] == SPEC
    assert golden["outputs"].keys() == outputs.keys()
    for name, expected in golden["outputs"].items():
        if name.startswith("motion."):
            continue  # its rows are the agents; see below
        tolerance = TOLERANCES[name.split(".")[0]]
        assert outputs[name]["moments"] == pytest.approx(expected["moments"], abs=tolerance), name
        assert outputs[name]["probes"] == pytest.approx(expected["probes"], abs=tolerance), name


def test_the_futures_have_the_spread_they_had(outputs: dict[str, dict[str, list[float]]]) -> None:
    golden = json.loads(GOLDEN.read_text())["outputs"]
    for name in (name for name in golden if name.startswith("motion.")):
        assert outputs[name]["moments"] == pytest.approx(golden[name]["moments"], abs=10 * TOLERANCES["motion"]), name


def test_the_tolerances_would_notice_a_change() -> None:
    config = find_variant("nano")
    bundle = load_bundle(SPEC)
    inputs = fixed_inputs(config)
    golden = json.loads(GOLDEN.read_text())["outputs"]
    with torch.inference_mode():
        mirrored = bundle.build_student()(inputs._replace(images_BNHW3=inputs.images_BNHW3.flip(-2)))
    for name, value in flat(mirrored).items():
        if name in golden and not name.startswith(("motion.", "plan.heading")):
            tolerance = TOLERANCES[name.split(".")[0]]
            assert described(value)["probes"] != pytest.approx(golden[name]["probes"], abs=tolerance), name
