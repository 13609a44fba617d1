"""``tinybev export``: writes a bundle from seeded weights, from another bundle, or from a training checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinybev.errors import UserError
from tinybev.model.config import VARIANTS, find_variant
from tinybev.runtime.bundle import UNTRAINED, Bundle, load_bundle, make_bundle, read_weights, save_bundle

BUNDLES_FOLDER = Path("out/bundles")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "source", help=f"{UNTRAINED}VARIANT[:SEED], a bundle's folder, or the .safetensors file of a checkpoint"
    )
    parser.add_argument("--output", type=Path, help=f"folder to write (default: {BUNDLES_FOLDER}/NAME)")
    parser.add_argument("--name", help="name of the bundle (default: the source's own)")
    parser.add_argument("--variant", help=f"of a checkpoint: {', '.join(VARIANTS)}")
    parser.add_argument("--trained-on", help="of a checkpoint: the data it was trained on, in words")


def run(arguments: argparse.Namespace) -> int:
    """Writes the bundle and prints where it is."""
    bundle = _read_source(arguments)
    folder = arguments.output or BUNDLES_FOLDER / bundle.manifest.name
    save_bundle(bundle, folder)
    print(f"{folder}: {bundle.info.name}, trained on {bundle.info.trained_on}, sha256 {bundle.info.sha256}")
    return 0


def _read_source(arguments: argparse.Namespace) -> Bundle:
    path = Path(arguments.source)
    if path.suffix != ".safetensors":
        bundle = load_bundle(arguments.source)
        manifest = bundle.manifest
        if arguments.variant or arguments.trained_on:
            raise UserError("--variant and --trained-on describe a .safetensors checkpoint; leave them out.")
        return make_bundle(
            arguments.name or manifest.name,
            bundle.config,
            bundle.weights,
            manifest.trained_on,
            manifest.training,
            manifest.metrics,
        )
    if not arguments.variant or not arguments.trained_on:
        raise UserError(f"{path}: expected --variant and --trained-on with a checkpoint; add them.")
    config = find_variant(arguments.variant)
    return make_bundle(arguments.name or path.stem, config, read_weights(path), arguments.trained_on)
