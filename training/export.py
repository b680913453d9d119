"""Export a captioner to TorchScript and ONNX: ``training.export --checkpoint runs/x/best.pt``.

The weights are stored in half precision, which halves the archive. Whoever loads the module
converts it: ``module.float()`` on a CPU, ``module.half()`` on a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common.cli import check_no_effect, check_writable, run_command
from training.common.model_files import MODULE
from training.packaging.exporting import export_checkpoint
from training.pictures.files import find_pictures


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.export``."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of a run")
    parser.add_argument("--output", type=Path, help=f"default: {MODULE} beside the checkpoint")
    parser.add_argument(
        "--no-onnx",
        action="store_true",
        help="leave out the graph for ONNX Runtime, which makes serving on a CPU faster",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="photos such as the model was trained on: for a second graph, which computes "
        "with integers, faster on most processors",
    )
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Export the checkpoint; returns the exit status."""
    output = arguments.output or arguments.checkpoint.with_name(MODULE)
    check_writable(output, "--output")
    if arguments.no_onnx:
        check_no_effect(arguments, ["pictures"], "with --no-onnx")
    pictures = find_pictures([arguments.pictures]) if arguments.pictures else []
    export_checkpoint(arguments.checkpoint, output, onnx=not arguments.no_onnx, pictures=pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
