"""Score a model on a split: ``python -m training.evaluate --data FOLDER``.

Prints BLEU-1 to 4, METEOR, ROUGE-L and CIDEr as JSON: pycocoevalcap, its Penn Treebank tokeniser,
all reference captions of every picture. Beside them: the share of content words that people
confirm, how far the confidence is from it, and what the captions are like.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handler.options import MAX_BEAM_SIZE, MAX_LENGTH
from training.common.cli import DeviceError, add_data_arguments, choose_device, whole_number
from training.common.memory import keep_memory
from training.common.progress import set_up_logging
from training.data.splits import SPLITS, DataError, read_splits
from training.packaging.evaluation import evaluate
from training.packaging.inference import ModelError, load_model
from training.trainer.checkpoint import CheckpointError
from training.trainer.config import TrainConfig

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.evaluate``."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("model_store/captioner.mar"),
        help="archive, exported captioner.pt or checkpoint (default: the shipped archive)",
    )
    parser.add_argument("--split", choices=SPLITS, default="dev")
    parser.add_argument(
        "--beam-size", type=whole_number(1, MAX_BEAM_SIZE), default=TrainConfig.beam_size
    )
    parser.add_argument(
        "--max-length", type=whole_number(1, MAX_LENGTH), default=TrainConfig.max_length
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--output", type=Path, help="also write the scores to this JSON file")
    parser.add_argument("--captions", type=Path, help="write the captions to this JSON file")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    set_up_logging()
    keep_memory()
    try:
        splits = read_splits(arguments.data, images=arguments.images, strict=arguments.strict)
        model = load_model(arguments.model, device=choose_device(arguments.device))
        scores, captions = evaluate(
            model,
            splits[arguments.split],
            beam_size=arguments.beam_size,
            max_length=arguments.max_length,
            strict=arguments.strict,
        )
    except (DataError, DeviceError, ModelError, CheckpointError) as error:
        logger.error("error: %s", error)
        return 1
    report: dict[str, Any] = {
        "split": arguments.split,
        "pictures": len(captions),
        "beam_size": arguments.beam_size,
        **scores,
    }
    if arguments.captions:
        text = json.dumps(captions, indent=1, ensure_ascii=False)
        arguments.captions.write_text(text + "\n", encoding="utf-8")
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
