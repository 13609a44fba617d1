"""``tinybev export``: writes a bundle from seeded weights, another bundle or a training checkpoint; or its network.

The formats of other runtimes are two files, ``image`` and ``bev``, with the pooling between them left to the caller.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tinybev.errors import UserError
from tinybev.model.config import VARIANTS, find_variant
from tinybev.runtime.backends import onnx_export, openvino_runtime
from tinybev.runtime.backends.export_cache import WritePart, export_identity, export_parts
from tinybev.runtime.bundle import MANIFEST_FILE, UNTRAINED, Bundle, load_bundle, make_bundle, read_weights, save_bundle

BUNDLES_FOLDER = Path("out/bundles")
BUNDLE_FORMAT = "bundle"
IDENTITY_FILE = "export.txt"
"""Says of which network code and packages an export is."""


class NetworkFormat(NamedTuple):
    """A format that other runtimes read.

    Attributes:
        suffix: of its files.
        write: writes a part.
        packages: that do it.
        check: raises a UserError where one of them is not installed.
    """

    suffix: str
    write: WritePart
    packages: tuple[str, ...]
    check: Callable[[], object]


NETWORK_FORMATS: Mapping[str, NetworkFormat] = {
    "onnx": NetworkFormat(
        onnx_export.SUFFIX, onnx_export.write_onnx, onnx_export.PACKAGES, onnx_export.require_packages
    ),
    "openvino": NetworkFormat(
        openvino_runtime.SUFFIX,
        openvino_runtime.write_openvino,
        openvino_runtime.PACKAGES,
        lambda: openvino_runtime.import_openvino("openvino"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "source", help=f"{UNTRAINED}VARIANT[:SEED], a bundle's folder, or the .safetensors file of a checkpoint"
    )
    parser.add_argument(
        "--format",
        choices=(BUNDLE_FORMAT, *NETWORK_FORMATS),
        default=BUNDLE_FORMAT,
        help="bundle: weights and manifest; onnx, openvino: the network beside a bundle (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder to write (default: {BUNDLES_FOLDER}/NAME, and in it a folder of the format's name)",
    )
    parser.add_argument("--name", help="name of the bundle (default: the source's own)")
    parser.add_argument("--variant", help=f"of a checkpoint: {', '.join(VARIANTS)}")
    parser.add_argument("--trained-on", help="of a checkpoint: the data it was trained on, in words")


def run(arguments: argparse.Namespace) -> int:
    """Writes the bundle, or its network in another runtime's format, and prints where it is."""
    bundle = _read_source(arguments)
    folder = arguments.output or BUNDLES_FOLDER / bundle.manifest.name
    if arguments.format == BUNDLE_FORMAT:
        save_bundle(bundle, folder)
    else:
        folder = arguments.output or folder / arguments.format
        write_network(bundle, folder, arguments.format)
    print(f"{folder}: {bundle.info.name}, trained on {bundle.info.trained_on}, sha256 {bundle.info.sha256}")
    return 0


def write_network(bundle: Bundle, folder: Path, format_name: str) -> None:
    """Writes image part and BEV part in one of ``NETWORK_FORMATS``, and the manifest that says whose they are.

    What an interrupted export of the same bundle left is kept, so that only the rest is written.

    Raises:
        UserError: the folder belongs to another bundle or another version, or cannot be written to, or a package is
            missing.
    """
    form = NETWORK_FORMATS[format_name]
    form.check()
    manifest_path, manifest_text = folder / MANIFEST_FILE, bundle.manifest.to_json()
    identity_path, identity = folder / IDENTITY_FILE, export_identity(bundle, form.packages)
    if manifest_path.is_file():
        if manifest_path.read_text(encoding="utf-8") != manifest_text:
            raise UserError(f"{folder}: expected an export of this bundle, got another's; name another folder.")
        if not identity_path.is_file() or identity_path.read_text(encoding="utf-8") != identity:
            raise UserError(
                f"{folder}: expected an export by this version of the network and of {', '.join(form.packages)}, got "
                "another version's; remove it, or name another folder."
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: expected an empty folder, or an export of this bundle; name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        identity_path.write_text(identity, encoding="utf-8")
        manifest_path.write_text(manifest_text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: expected a place that can be written to, got {error}.") from error
    export_parts(bundle.build_student, folder, form.suffix, form.write)


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
