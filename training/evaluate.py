"""Score a model on a split: ``python -m training.evaluate --data FOLDER``.

Prints BLEU-1 to 4, METEOR, ROUGE-L and CIDEr as JSON: pycocoevalcap, its Penn Treebank tokeniser,
all reference captions of every picture. Beside them: the share of content words that people
confirm, how far the confidence is from it, and what the captions are like.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handler.engines import PRECISIONS
from training.common.cli import (
    add_also_argument,
    add_compute_arguments,
    add_data_arguments,
    add_model_arguments,
    check_writable,
    choose_device,
    run_command,
)
from training.data.splits import SPLITS, read_named, read_splits
from training.metrics.naming import read_objects
from training.packaging.evaluation import evaluate, evaluate_objects, write_json
from training.packaging.inference import load_model, trust_of


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.evaluate``."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    add_data_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument("--split", choices=SPLITS, default="dev")
    add_also_argument(parser, "another captioned data set, of which all pictures are scored, apart")
    parser.add_argument(
        "--objects",
        type=Path,
        metavar="FOLDER",
        help="photos of things, with nouns.json: how many captions name what is in the picture",
    )
    add_compute_arguments(parser, device="cpu")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of an archive on a CPU (default: the faster one, as when it is served)",
    )
    parser.add_argument("--output", type=Path, help="also write the scores to this JSON file")
    parser.add_argument("--captions", type=Path, help="write the captions to this JSON file")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Score the model and print the report; returns the exit status."""
    for flag, target in (("--output", arguments.output), ("--captions", arguments.captions)):
        if target:
            check_writable(target, flag)
    strict, path = arguments.strict, arguments.model
    splits = read_splits(arguments.data, images=arguments.images, strict=strict)
    others = read_named(arguments.also, "--also", strict=strict)
    objects = read_objects(arguments.objects) if arguments.objects else {}
    model = load_model(path, choose_device(arguments.device), arguments.precision)
    options: dict[str, Any] = {
        "beam_size": arguments.beam_size,
        "max_length": arguments.max_length,
        "strict": strict,
    }
    scores, captions = evaluate(model, splits[arguments.split], **options)
    report = {"split": arguments.split, **scores}
    for name, examples in others.items():
        report[name], more = evaluate(model, examples, **options)
        captions |= more
    if objects:
        report["objects"], more = evaluate_objects(model, objects, trust_of(path), **options)
        captions |= more
    if arguments.captions:
        write_json(captions, arguments.captions)
    if arguments.output:
        write_json(report, arguments.output)
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
