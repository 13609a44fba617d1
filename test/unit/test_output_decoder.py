"""The outputs of a network decoded by themselves are what the pipeline gives, frame after frame."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from pictures import STAMP_NS, frame
from rigs import yaw_transform

from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import DecodedOutputs, OutputDecoder
from tinybev.runtime.pipeline import Pipeline
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import Command, Frame, Goal

SIZE = (450, 800)


def frames() -> list[Frame]:
    """Two, half a second and a metre apart, with a goal."""
    return [
        dataclasses.replace(
            frame(SIZE, stamp_ns=STAMP_NS + n * 500_000_000),
            map_T_base=yaw_transform(0.1, x=float(n)),
            goal=Goal(Command.LEFT, (20.0, 5.0)),
        )
        for n in range(2)
    ]


def assert_equal(found: object, expected: object, name: str) -> None:
    """The same to the last bit, through every level of dataclasses and tuples."""
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            assert_equal(getattr(found, field.name), getattr(expected, field.name), f"{name}.{field.name}")
    elif isinstance(expected, (tuple, list)):
        assert isinstance(found, (tuple, list))
        assert len(found) == len(expected), name
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other, name)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_the_pipelines_results_are_its_networks_outputs_decoded() -> None:
    bundle = load_bundle("untrained:nano")
    options = PipelineOptions(backend="torch", device="cpu", score_threshold=0.1, max_objects=20)
    pipeline, student = Pipeline(bundle, options), bundle.build_student()
    preprocessor, decoder = Preprocessor(bundle.config, use_ego_status=False), OutputDecoder(bundle.config, options)
    tracks = []
    for one in frames():
        results = pipeline.run(one)
        with torch.inference_mode():
            outputs = student(preprocessor.prepare(one).inputs)
        decoded = decoder.decode(outputs, one)
        assert len(decoded.detections) == 20
        for field in dataclasses.fields(DecodedOutputs):
            assert_equal(getattr(decoded, field.name), getattr(results, field.name), field.name)
        tracks.append(set(decoded.detections.track_ids.tolist()))
    assert tracks[0] & tracks[1]
    decoder.reset()
    again = decoder.decode(outputs, frames()[1])
    assert not tracks[1] & set(again.detections.track_ids.tolist())
