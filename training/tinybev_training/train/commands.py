"""``tinybev train``: trains a student or a teacher after a recipe; stopped or killed, it goes on with --resume."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tinybev.errors import UserError
from tinybev_training.train.place import Place, is_first_process
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.recipes import RECIPES, find_recipe
from tinybev_training.train.run import BUNDLE_FOLDER, RECIPE_FILE, train
from tinybev_training.train.typed_json import changed, leaves

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    recipes = ", ".join(f"{name} ({shipped.summary})" for name, shipped in RECIPES.items())
    parser.add_argument("--recipe", help=f"one of {recipes}; not needed to go on")
    parser.add_argument("--dataroot", type=Path, help="folder of a nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-trainval", help="of its tables")
    parser.add_argument("--split", help="annotated samples to learn from, of the devkit or of splits.json")
    parser.add_argument("--validation-split", help="samples to validate on, or 'none'; default: of X_train, X_val")
    parser.add_argument("--unlabelled-split", help="samples on which only the teacher speaks")
    parser.add_argument("--teacher", help="folder of a teacher's bundle or dumps, or 'self'")
    parser.add_argument("--out", type=Path, help="folder of the run; default: out/train/NAME-OF-THE-RECIPE")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint, by its recipe")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another value of a field of the recipe, as in optimization.learning_rate=2e-4; may be repeated",
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="of the arithmetic; default: the recipe's, fp32")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where it trains")
    parser.add_argument("--devices", type=int, default=1, help="processes on this machine; under torchrun leave it out")
    parser.add_argument("--workers", type=int, default=2, help="processes that load samples, for each that trains")
    parser.add_argument("--cache", type=Path, default=Place.cache, help="of decoded images, see samples.cache_size")
    parser.add_argument(
        "--pictures",
        type=int,
        default=Place.pictures,
        help="validation samples that are drawn at every validation, as the average sees them and as they are",
    )
    parser.add_argument("--show", action="store_true", help="print the recipe, field by field, and do nothing")


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0, or 128 and the signal's number if it was stopped by one."""
    recipe, out = _recipe_and_folder(args)
    if args.show:
        shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in leaves(recipe).items()}
        print("\n".join(f"{name}={value}" for name, value in shown.items()))
        return 0
    if args.dataroot is None:
        raise UserError("expected --dataroot: the folder of a nuScenes-format dataset; name it.")
    if args.devices < 1 or args.workers < 0 or args.pictures < 0:
        raise UserError(
            f"expected --devices from 1, --workers and --pictures from 0, got {args.devices}, {args.workers} and "
            f"{args.pictures}."
        )
    place = Place(args.dataroot, args.version, out, args.device, args.devices, args.workers, args.cache, args.pictures)
    outcome = train(recipe, place, args.resume)
    status = 0 if outcome.stopped_by is None else 128 + outcome.stopped_by
    if not is_first_process():
        return status
    if outcome.stopped_by is not None:
        print(
            f"stopped by {outcome.stopped_by.name} after step {outcome.step} of {recipe.steps}; "
            f"go on with --resume --out {out}.",
            file=sys.stderr,
        )
        return status
    print(f"trained {outcome.step} steps ({outcome.samples_per_s:.1f} samples/s); the bundle is {out / BUNDLE_FOLDER}")
    return status


def _recipe_and_folder(args: argparse.Namespace) -> tuple[Recipe, Path]:
    """The recipe that is asked for, or that of the run that goes on, and the run's folder."""
    if args.resume and args.out is not None and (args.out / RECIPE_FILE).is_file():
        path = args.out / RECIPE_FILE
        recipe = Recipe.from_json(path.read_text(encoding="utf-8"), str(path))
        asked = recipe.name if args.recipe is None else find_recipe(args.recipe).name
        if asked != recipe.name:
            raise UserError(f"{path}: the run is of recipe {recipe.name!r}, not {asked!r}; leave --recipe out.")
        return changed(recipe, _settings(args)), args.out
    if args.recipe is None:
        raise UserError(f"--recipe: expected one of {', '.join(RECIPES)}, or --resume --out RUN; name one.")
    recipe = changed(find_recipe(args.recipe), _settings(args))
    return recipe, args.out or Path("out/train") / recipe.name


def _settings(args: argparse.Namespace) -> dict[str, str]:
    """Fields that the options set, --set last."""
    settings = {
        name: "" if value == "none" else value
        for name, value in (
            ("split", args.split),
            ("validation_split", args.validation_split),
            ("unlabelled_split", args.unlabelled_split),
            ("teacher", args.teacher),
        )
        if value is not None
    }
    if args.validation_split is None and args.split is not None:
        settings["validation_split"] = _validation_split_of(args.split)
    if args.precision is not None:
        settings["precision"] = PRECISIONS[args.precision]
    for setting in args.set:
        name, separator, value = setting.partition("=")
        if not separator:
            raise UserError(f"--set {setting}: expected FIELD=VALUE; `--show` lists the fields.")
        settings[name] = value
    return settings


def _validation_split_of(split: str) -> str:
    """nuScenes' names come in pairs: val of train, mini_val of mini_train, world_val of world_train."""
    return split.removesuffix("train") + "val" if split.endswith("train") else ""
