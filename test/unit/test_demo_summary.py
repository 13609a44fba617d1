"""The demo's summary is written before anything is drawn, so that pictures which cannot be drawn cost no figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tinybev.errors import UserError
from tinybev_ros import demo


def test_the_summary_is_there_although_the_pictures_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise UserError("expected a bag, found a cat; feed it.")

    recording = demo.Input(tmp_path / "bag", "a bag", 1.0, 6)
    monkeypatch.setattr(demo, "keep_to_this_machine", lambda: None)
    monkeypatch.setattr(demo, "prepare_input", lambda args: recording)
    monkeypatch.setattr(demo, "processes", lambda values: [])
    monkeypatch.setattr(demo, "play_and_record", lambda *_, **__: (None, {}))
    monkeypatch.setattr(demo, "summary", lambda *_: {"frames": 3})
    monkeypatch.setattr(demo, "draw_replay", fail)
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    with pytest.raises(UserError, match="found a cat"):
        demo.run(parser.parse_args(["--bag", str(recording.bag), "--foxglove", "off", "--out", str(tmp_path)]))
    assert json.loads((tmp_path / "summary.json").read_text()) == {"frames": 3}
