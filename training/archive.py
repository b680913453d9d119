"""Make a TorchServe archive of an exported run: ``python -m training.archive --run runs/x``.

The run's folder holds best.pt, captioner.pt and vocab.json (from ``training.export``), and the
scores.json of ``training.evaluate`` where there is one.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common.progress import set_up_logging
from training.packaging.archives import DEFAULT_DATA_NAME, ArchiveError, archive_run, repack
from training.packaging.exporting import ExportError
from training.trainer.checkpoint import CheckpointError

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.archive", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of the exported run")
    source.add_argument(
        "--repack",
        type=Path,
        metavar="MAR",
        help="archive to export and pack again with the code as it is now",
    )
    parser.add_argument("--output", type=Path, default=Path("model_store/captioner.mar"))
    parser.add_argument("--version", default="1.0", help="of a run's model (default: 1.0)")
    parser.add_argument(
        "--data-name", default=DEFAULT_DATA_NAME, help="what the data is, for the model card"
    )
    arguments = parser.parse_args(argv)
    set_up_logging()
    output: Path = arguments.output
    try:
        if arguments.repack:
            repack(arguments.repack, output)
        else:
            version, data_name = arguments.version, arguments.data_name
            archive_run(arguments.run, output, version=version, data_name=data_name)
    except (ArchiveError, CheckpointError, ExportError) as error:
        logger.error("error: %s", error)
        return 1
    logger.info("Wrote %s (%.1f MB).", output, output.stat().st_size / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
