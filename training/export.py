"""Export a captioner to TorchScript and ONNX: ``training.export --checkpoint runs/x/best.pt``.

The weights are stored in half precision, which halves the archive. Whoever loads the module
converts it: ``module.float()`` on a CPU, ``module.half()`` on a GPU.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common.progress import set_up_logging
from training.packaging.exporting import ExportError, export
from training.trainer import checkpoint
from training.trainer.checkpoint import CheckpointError

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of a run")
    parser.add_argument("--output", type=Path, help="default: captioner.pt beside the checkpoint")
    parser.add_argument(
        "--no-onnx",
        action="store_true",
        help="leave out the graph for ONNX Runtime, which makes serving on a CPU faster",
    )
    arguments = parser.parse_args(argv)
    set_up_logging()
    output = arguments.output or arguments.checkpoint.with_name("captioner.pt")
    try:
        loaded = checkpoint.load(arguments.checkpoint)
        export(loaded.captioner, output, onnx=not arguments.no_onnx)
    except (CheckpointError, ExportError) as error:
        logger.error("error: %s", error)
        return 1
    loaded.vocabulary.save(output.with_name("vocab.json"))
    logger.info("Wrote %s (%.1f MB) and vocab.json.", output, output.stat().st_size / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
