"""Bundles: a folder with ``weights.safetensors`` and ``manifest.json``, or seeded weights made in memory.

What training exports and what the runtime reads is this and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig, find_variant
from tinybev.model.student import MAX_SEED, Student, seeded_student
from tinybev.runtime.manifest import Manifest
from tinybev.runtime.new_folder import new_folder
from tinybev.types import WeightsInfo

WEIGHTS_FILE, MANIFEST_FILE = "weights.safetensors", "manifest.json"
UNTRAINED = "untrained:"
"""What a specification of seeded weights starts with."""
SHIPPED = "shipped:"
"""What a specification of trained weights that lie in the package starts with."""
SHIPPED_FOLDER = Path(__file__).resolve().parents[1] / "bundles"


@dataclass(frozen=True)
class Bundle:
    """Weights and what there is to know about them; ``weights`` are the student's parameters and buffers by name,
    those of floating point in float32 or, see :func:`halved`, in float16."""

    manifest: Manifest
    weights: Mapping[str, Tensor]

    @property
    def config(self) -> StudentConfig:
        """The network's configuration."""
        return self.manifest.config

    @property
    def info(self) -> WeightsInfo:
        """What every result says of its weights."""
        return WeightsInfo(self.manifest.name, self.manifest.trained_on, self.manifest.sha256)

    def build_student(self) -> Student:
        """A student with these weights, in evaluation mode."""
        student = Student(self.config)
        student.load_state_dict(dict(self.weights))
        return student.eval()


def load_bundle(spec: str) -> Bundle:
    """The bundle that ``spec`` names: a folder, ``shipped:NAME``, ``untrained:VARIANT`` or ``untrained:VARIANT:SEED``.

    Raises:
        UserError: there is no such bundle, or its parts do not match each other or this version.
    """
    if spec.startswith(UNTRAINED):
        return untrained_bundle(spec)
    return read_bundle(shipped_folder(spec) if spec.startswith(SHIPPED) else Path(spec))


def shipped_folder(spec: str) -> Path:
    """Where the bundle ``shipped:NAME`` lies.

    Raises:
        UserError: none of that name is shipped.
    """
    there = sorted(path.parent.name for path in SHIPPED_FOLDER.glob(f"*/{MANIFEST_FILE}"))
    name = spec.removeprefix(SHIPPED)
    if name not in there:
        names = ", ".join(SHIPPED + one for one in there)
        raise UserError(f"bundle {spec!r}: expected one of {names or 'none: no bundle is installed'}; choose one.")
    return SHIPPED_FOLDER / name


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float16, half the size; the network computes with them as with any others.

    Statistics of the normalisation stay as they are: a small variance would not survive.
    """
    return {
        name: tensor
        if not tensor.is_floating_point() or name.endswith(("running_mean", "running_var"))
        else tensor.half()
        for name, tensor in weights.items()
    }


def untrained_bundle(spec: str) -> Bundle:
    """Seeded weights; seed 0 where ``spec`` names none.

    Raises:
        UserError: the variant is unknown, or the seed is not a number from 0 to ``MAX_SEED``.
    """
    variant, _, seed_text = spec.removeprefix(UNTRAINED).partition(":")
    config = find_variant(variant)
    is_number = seed_text.isascii() and seed_text.isdecimal() and len(seed_text) <= len(str(MAX_SEED))
    if seed_text and not (is_number and int(seed_text) <= MAX_SEED):
        raise UserError(
            f"bundle {spec!r}: expected {UNTRAINED}VARIANT:SEED with a seed from 0 to {MAX_SEED}, got {seed_text!r}."
        )
    seed = int(seed_text or 0)
    weights = seeded_student(config, seed).state_dict()
    return make_bundle(config.name, config, weights, trained_on=f"nothing (untrained, seed {seed})")


def make_bundle(
    name: str,
    config: StudentConfig,
    weights: Mapping[str, Tensor],
    trained_on: str,
    training: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Bundle:
    """A bundle of weights at hand.

    Args:
        name: of the bundle.
        config: the network's.
        weights: the student's parameters and buffers.
        trained_on: the data they were trained on, in words.
        training: how, for the manifest.
        metrics: figures, for the manifest.

    Raises:
        UserError: the weights are not those of a network of this configuration.
    """
    check_weights(config, weights, f"weights of {name!r}")
    sha256 = hashlib.sha256(_serialised(weights)).hexdigest()
    return Bundle(Manifest(name, config, trained_on, sha256, training or {}, metrics or {}), dict(weights))


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder.

    Raises:
        UserError: a file is missing, damaged or cannot be read, or manifest, weights and configuration do not match.
    """
    manifest_path, weights_path = folder / MANIFEST_FILE, folder / WEIGHTS_FILE
    for path in (manifest_path, weights_path):
        if not path.is_file():
            raise UserError(
                f"bundle {str(folder)!r}: expected a folder with {MANIFEST_FILE} and {WEIGHTS_FILE}, "
                f"{path.name} is missing; give an exported bundle or {UNTRAINED}VARIANT."
            )
    manifest = Manifest.from_json(_read_text(manifest_path), str(manifest_path))
    content = _read_bytes(weights_path)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != manifest.sha256:
        raise UserError(
            f"{weights_path}: expected sha256 {manifest.sha256}, got {sha256}; "
            "the file is damaged or belongs to another manifest, export or copy the bundle again."
        )
    weights = _parsed(content, str(weights_path))
    check_weights(manifest.config, weights, str(weights_path))
    return Bundle(manifest, weights)


def save_bundle(bundle: Bundle, folder: Path) -> None:
    """Writes a bundle as a new folder, which appears whole or not at all.

    Raises:
        UserError: something of that name exists, or the place cannot be written to.
    """
    with new_folder(folder) as unfinished:
        (unfinished / WEIGHTS_FILE).write_bytes(_serialised(bundle.weights))
        (unfinished / MANIFEST_FILE).write_text(bundle.manifest.to_json(), encoding="utf-8")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _parsed(_read_bytes(path), str(path))


def check_weights(config: StudentConfig, weights: Mapping[str, Tensor], source: str) -> None:
    """Whether names, shapes and types are those of a network of this configuration.

    Raises:
        UserError: they are not; it names the first tensor that differs.
    """
    with torch.device("meta"):  # shapes without memory
        expected = Student(config).state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        want, got = _describe(expected.get(name)), _describe(weights.get(name))
        if want != got and got != want.replace("float32", "float16"):
            raise UserError(
                f"{source}: expected {name} of {config.name} to be {want}, got {got}; "
                "use weights that were exported for this configuration."
            )


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _serialised(weights: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().contiguous() for name, tensor in weights.items()})


def _parsed(content: bytes, source: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise UserError(f"{source}: expected a safetensors file, got {error}; copy or export it again.") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: expected a safetensors file that can be read, got {error.strerror}; correct the path or its "
            "permissions."
        ) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a text file, got {error}; export the bundle again.") from error
