"""The speed benches: what is compared is the same work, and the figures follow from the samples."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tinybev import bench
from tinybev.bench import disturbance, network
from tinybev.bench.decode import DECODERS
from tinybev.bench.disturbance import Stopwatch, waited_us
from tinybev.bench.foreign_load import peak_memory_mb
from tinybev.bench.interleaved import Sample, Timing, Work, time_in_turns
from tinybev.bench.machine import cpu_name, machine_name
from tinybev.bench.made_frame import IMAGE_SIZE, made_frame
from tinybev.bench.speed_row import SpeedRow, speed_row
from tinybev.bench.splat import pools, random_lifted
from tinybev.cli import main
from tinybev.errors import UserError
from tinybev.model.config import find_variant
from tinybev.runtime.backends.torch_device import computes_bfloat16
from tinybev.runtime.crop import Crop
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import CAMERAS

NANO = find_variant("nano")


@dataclass(frozen=True)
class Count:
    """Work that a test can hand to another process."""

    upto: int

    def __call__(self) -> Work:
        if self.upto < 0:
            raise UserError("expected a number to count to.")
        return lambda: sum(range(self.upto))


def test_every_way_of_pooling_gives_the_same() -> None:
    indices = Preprocessor(NANO, use_ego_status=False).prepare(made_frame()).inputs.splat
    lifted = random_lifted(NANO)
    pooled = {name: pool(lifted, indices) for name, pool in pools(NANO).items()}
    assert pooled["embedding_bag"].abs().sum() > 0
    for name, value in pooled.items():
        torch.testing.assert_close(value, pooled["embedding_bag"], rtol=1e-3, atol=1e-4, msg=name)


def test_the_peak_of_float32_is_one_of_float32_on_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(network.Convolve, "height", 1)
    network.Convolve("float32", "cpu", torch.get_num_threads())()
    assert torch.backends.cudnn.allow_tf32 is False


def test_both_ways_of_decoding_show_the_same_picture() -> None:
    frame = made_frame()
    assert tuple(frame.images) == CAMERAS
    image = frame.images["CAM_BACK"].image
    assert isinstance(image, bytes)
    assert image != frame.images["CAM_FRONT"].image
    crop = Crop.fit(IMAGE_SIZE, NANO.image_size)
    full, reduced = (decode(image, crop).astype(float) for decode in DECODERS.values())
    assert full.shape == reduced.shape == (*NANO.image_size, 3)
    assert np.abs(full - reduced).mean() < 3.0


def test_variants_take_turns_and_one_that_cannot_run_says_why() -> None:
    timings, absent = time_in_turns({"few": Count(10), "none": Count(-1), "many": Count(1000)}, rounds=3)
    assert absent == {"none": "expected a number to count to."}
    assert set(timings) == {"few", "many"}
    for timing in timings.values():
        assert len(timing.samples) == 3
        assert all(sample.wall_s > 0 for sample in timing.samples)
        assert timing.peak_memory_mb > 1


def test_memory_is_that_of_the_variant_and_not_of_who_started_it() -> None:
    here = np.ones(40_000_000)  # 305 MiB
    timings, _ = time_in_turns({"few": Count(10)}, rounds=1)
    assert here.sum() == 40_000_000
    assert timings["few"].peak_memory_mb < (peak_memory_mb(os.getpid()) or 0) - 250


def test_disturbed_samples_are_left_out_where_enough_are_clean() -> None:
    clean = Timing((*[Sample(0.010, False)] * 3, Sample(5.0, True)), 1.0)
    assert clean.clean
    assert clean.percentile_ms(95) == pytest.approx(10.0)
    row = speed_row("network", "v", "b", "float32", 2, clean, Timing((Sample(0.040, False),) * 3, 1.0), 2e9, 400.0)
    assert (row.p50_ms, row.ratio_to_torch_fp32, row.gflops, row.share_of_peak) == (10.0, 4.0, 200.0, 0.5)
    assert (row.samples, row.disturbed) == (3, False)
    few = Timing((Sample(0.010, False), Sample(0.030, True), Sample(0.030, True)), 1.0)
    row = speed_row("network", "v", "b", "float32", 2, few, None)
    assert (row.p50_ms, row.samples, row.disturbed, row.ratio_to_torch_fp32, row.gflops) == (30.0, 3, True, None, None)


@pytest.mark.parametrize(("waited", "disturbed"), [((0, 0), False), ((5, 5_000_005), True)])
def test_a_block_is_disturbed_by_what_waited_meanwhile(
    waited: tuple[int, int], disturbed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressure = tmp_path / "cpu"
    monkeypatch.setattr(disturbance, "PRESSURE_FILE", pressure)
    line = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    pressure.write_text(line.format(waited[0]))
    with Stopwatch() as stopwatch:
        pressure.write_text(line.format(waited[1]))
    assert stopwatch.disturbed is disturbed


def test_a_machine_that_does_not_tell_disturbs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbance, "PRESSURE_FILE", tmp_path / "absent")
    assert waited_us() is None
    with Stopwatch() as stopwatch:
        pass
    assert stopwatch.disturbed is False


def test_a_machine_is_named_by_what_decides_its_speed(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Some CPU\ncpu family\t: 26\nflags\t\t: fpu avx2 avx512_vnni sse\n\n")
    assert machine_name(info).endswith("of Some CPU (family 26), avx2, avx512_vnni")
    assert cpu_name(tmp_path / "absent")
    assert machine_name(tmp_path / "absent").endswith(f"of {cpu_name(tmp_path / 'absent')}")


@pytest.mark.parametrize(("backend", "precision"), [("openvino", "float32"), ("torch-bf16", "bfloat16")])
def test_the_command_writes_rows(
    backend: str, precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if precision == "bfloat16" and not computes_bfloat16(torch.device("cpu")):
        pytest.skip("needs a processor with bfloat16 instructions")
    if backend == "openvino":
        pytest.importorskip("openvino")
    out = tmp_path / "rows.json"
    options = ["--bundle", "untrained:nano", "--rounds", "3", "--threads", "1", "--backends", backend]
    assert main(["bench", "--only", "network", *options, "--json", str(out)]) == 0
    rows = [SpeedRow(**row) for row in json.loads(out.read_text())["network"]]
    assert [(row.what, row.backend, row.precision, row.threads) for row in rows] == [
        ("network", "torch", "float32", 1),
        ("network", backend, precision, 1),
    ]
    assert rows[0].ratio_to_torch_fp32 == 1.0
    assert all(row.p50_ms > 0 and row.gflops and row.share_of_peak for row in rows)
    assert f"| network | tinybev-nano | {backend} | {precision} |" in capsys.readouterr().out


def test_random_weights_are_measured_in_int8_too_and_trained_ones_as_they_were_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    monkeypatch.setenv("TINYBEV_CACHE", str(tmp_path))
    options = ["--rounds", "1", "--threads", "1", "--backends", "openvino-int8"]
    assert main(["bench", "--only", "network", "--bundle", "untrained:nano", *options]) == 0
    assert "| network | tinybev-nano | openvino-int8 | int8 |" in capsys.readouterr().out
    assert main(["bench", "--only", "network", "--bundle", "shipped:mini", *options]) == 0
    assert "expected ranges of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "sync"], "bench sync: expected --dataroot"),
        (["--rounds", "0"], "--rounds and --threads: expected at least 1 and 0, got 0 and 0"),
        (["--only", "network", "--backends", "tpu"], "--backends: expected some of auto, torch"),
    ],
)
def test_refusals(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert sentence in capsys.readouterr().err


class Measured:
    """A bench that takes no time, or finds that it cannot run."""

    def __init__(self, complaint: str = "") -> None:
        self.complaint, self.runs = complaint, 0

    def run(self, _args: object) -> list[dict[str, int]]:
        self.runs += 1
        if self.complaint:
            raise UserError(self.complaint)
        return [{"ms": 3}]


def stand_in(monkeypatch: pytest.MonkeyPatch, **benches: Measured) -> None:
    monkeypatch.setattr(bench, "_names", lambda: list(benches))
    monkeypatch.setattr(bench, "_module", benches.__getitem__)


def arguments(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{"only": None, "rounds": 1, "threads": 0, "dataroot": None, **values})


def test_what_was_measured_before_a_bench_that_cannot_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, first=Measured(), second=Measured("second: expected more; add it."))
    out = tmp_path / "new" / "rows.json"
    with pytest.raises(UserError, match="second: expected more"):
        bench.run(arguments(json=out))
    rows = json.loads(out.read_text())
    assert rows.pop("machine") == machine_name()
    assert rows == {"first": [{"ms": 3}]}


def test_a_file_that_cannot_be_written_to_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Measured()
    stand_in(monkeypatch, first=measured)
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path, tmp_path / "file" / "rows.json"):
        with pytest.raises(UserError, match=f"--json {out}: expected a file that can be written to, got .*another one"):
            bench.run(arguments(json=out))
    assert measured.runs == 0
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "kept")]


def test_a_file_that_cannot_be_written_to_any_more_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rows.json"

    class Spoils(Measured):
        def run(self, args: object) -> list[dict[str, int]]:
            out.mkdir()
            return super().run(args)

    stand_in(monkeypatch, first=Spoils())
    with pytest.raises(UserError, match="expected a file that can be written to"):
        bench.run(arguments(json=out))
