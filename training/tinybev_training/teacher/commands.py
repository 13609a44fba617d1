"""``tinybev teach``: writes down what a trained network says about every sample, so that training need not run it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.runtime.backends.torch_device import check_bfloat16, choose_device
from tinybev_training.data.batch import Batch, collate
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.long_work.lost_processes import explaining_lost_processes
from tinybev_training.teacher.live import LiveTeacher
from tinybev_training.teacher.sample_files import SUFFIX
from tinybev_training.teacher.sample_outputs import said_by, write_outputs
from tinybev_training.teacher.teaching_summary import TeachingSummary, read_summary
from tinybev_training.train.teachers import find_network, told_ego_status_of, weights_digest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a finished run, or of its bundle")
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of a nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-trainval", help="of its tables")
    parser.add_argument("--split", nargs="+", required=True, help="of the devkit or of splits.json; one or more")
    parser.add_argument("--out", type=Path, required=True, help="folder of the files, for `tinybev train --teacher`")
    parser.add_argument("--batch", type=int, default=4, help="samples at a time")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16, as a teacher that trains along would")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of the network")
    parser.add_argument("--workers", type=int, default=1, help="processes that load samples")


def run(args: argparse.Namespace) -> int:
    """Writes the files that are missing."""
    if args.batch < 1 or args.workers < 0:
        raise UserError(f"--batch and --workers: expected at least 1 and 0, got {args.batch} and {args.workers}.")
    device = choose_device(args.device)
    if args.bf16:
        check_bfloat16(device, "--bf16", "float32: leave it out")
    network = find_network(args.teacher)
    if network is None:
        raise UserError(f"--teacher {args.teacher}: expected the folder of a finished run or bundle; correct the path.")
    teacher = LiveTeacher(lambda: network, told_ego_status_of(args.teacher), network.needs_lidar)
    digest = weights_digest(network)
    precision = torch.autocast(device.type, torch.bfloat16) if args.bf16 else nullcontext()
    silent: list[str] = []
    with alone_in(args.out), explaining_lost_processes("--workers"):
        _check_folder(args.out, digest)
        for split in args.split:
            dataset = open_dataset(args.dataroot, args.version, split, with_lidar=network.needs_lidar, progress=True)
            samples = TrainingSet(dataset, network.config.image_size, past_frames=teacher.past_frames)
            missing = _missing(dataset, args.out)
            loader = DataLoader(Subset(samples, missing), args.batch, num_workers=args.workers, collate_fn=collate)
            bar = tqdm(total=len(dataset), initial=len(dataset) - len(missing), desc=split, unit="sample")
            for batch in loader:
                with precision:
                    silent += _write(teacher, batch.to(device), args.out, digest)
                bar.update(len(batch))
            bar.close()
        summary = TeachingSummary(str(args.teacher), digest, tuple(args.split), tuple(silent), args.bf16)
        summary.after(read_summary(args.out)).write(args.out)
    blind = f"; of {len(silent)} samples it says nothing, they lack images or lidar points" if silent else ""
    print(f"what {args.teacher} says is in {args.out}{blind}")
    return 0


def _write(teacher: LiveTeacher, batch: Batch, out: Path, digest: str) -> list[str]:
    """Writes a batch's samples; returns the tokens of those of which the teacher says nothing."""
    outputs = teacher(batch)
    spoken_B = teacher.speaks(batch)
    for row in spoken_B.nonzero()[:, 0].tolist():
        write_outputs(out / f"{batch.tokens[row]}{SUFFIX}", outputs, row, digest)
    return [token for token, spoken in zip(batch.tokens, spoken_B.tolist(), strict=True) if not spoken]


def _missing(dataset: NuScenesDataset, out: Path) -> Sequence[int]:
    """The samples that have no file yet."""
    there = {path.stem for path in out.glob(f"*{SUFFIX}")}
    return [index for index, where in enumerate(dataset.keyframes) if where.keyframe.token not in there]


def _check_folder(out: Path, digest: str) -> None:
    """Checks that ``out`` holds nothing of another teacher."""
    first = next(out.glob(f"*{SUFFIX}"), None)
    if first is not None and said_by(first) != digest:
        raise UserError(f"--out {out}: it holds what another network said; name a new folder, or remove this one.")
