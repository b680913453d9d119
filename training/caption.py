"""Caption pictures from the command line: ``python -m training.caption photo.jpg folder``."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from handler.options import MAX_BEAM_SIZE, MAX_LENGTH
from training.checkpoint import CheckpointError
from training.cli import DeviceError, choose_device, whole_number
from training.inference import ModelError, Result, inference, load_model
from training.memory import keep_memory
from training.progress import progress, set_up_logging

logger = logging.getLogger(__name__)

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
)  # looked for in folders; a file named outright is tried whatever it is called
EXISTING = ("skip", "overwrite", "append")


def write_text(results: Iterable[Result], out: TextIO) -> None:
    """A line a caption: the file, a tab, the sentence."""
    for result in results:
        for caption in result.captions:
            print(result.path, caption.text, sep="\t", file=out, flush=True)


def write_csv(results: Iterable[Result], out: TextIO) -> None:
    """Columns image, caption, rank, log_probability, confidence."""
    rows = csv.writer(out)
    rows.writerow(["image", "caption", "rank", "log_probability", "confidence"])
    for result in results:
        for rank, c in enumerate(result.captions, start=1):
            row = [result.path, c.text, rank, round(c.log_probability, 4), round(c.confidence, 4)]
            rows.writerow(row)


def write_json_lines(results: Iterable[Result], out: TextIO) -> None:
    """An object a picture, with all its captions."""
    for result in results:
        captions = [
            {
                "caption": caption.text,
                "log_probability": round(caption.log_probability, 4),
                "confidence": round(caption.confidence, 4),
            }
            for caption in result.captions
        ]
        line = {"image": str(result.path), "captions": captions}
        print(json.dumps(line, ensure_ascii=False), file=out, flush=True)


WRITERS: dict[str, Callable[[Iterable[Result], TextIO], None]] = {
    "text": write_text,
    "csv": write_csv,
    "jsonl": write_json_lines,
}


def sidecar(picture: Path) -> Path:
    """The text file beside a picture: ``photo.jpg`` -> ``photo.txt``."""
    return picture.with_suffix(".txt")


def write_sidecars(results: Iterable[Result], existing: str) -> None:
    """Write each picture's captions, a line each, beside it; ``append`` adds to what is there."""
    for result in results:
        if result.captions:
            text = "".join(f"{caption.text}\n" for caption in result.captions)
            mode = "a" if existing == "append" else "w"
            with sidecar(result.path).open(mode, encoding="utf-8") as file:
                file.write(text)


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, and the pictures of folders and their subfolders, sorted."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(
                p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
            )
        else:
            found.append(path)
    return found


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.caption``."""
    parser = argparse.ArgumentParser(prog="python -m training.caption", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help="pictures, or folders of them")
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("model_store/captioner.mar"),
        help="archive, exported captioner.pt or checkpoint (default: the shipped archive)",
    )
    parser.add_argument(
        "--format",
        choices=[*WRITERS, "sidecar"],
        default="text",
        help="sidecar writes a .txt beside each picture",
    )
    parser.add_argument(
        "--existing", choices=EXISTING, default="skip", help="what to do with sidecars that exist"
    )
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    parser.add_argument(
        "--beam-size", type=whole_number(1, MAX_BEAM_SIZE), default=3, help=f"1 to {MAX_BEAM_SIZE}"
    )
    parser.add_argument(
        "--num-captions", type=whole_number(1, MAX_BEAM_SIZE), default=1, help="1 to --beam-size"
    )
    parser.add_argument(
        "--max-length",
        type=whole_number(1, MAX_LENGTH),
        default=20,
        help=f"words, 1 to {MAX_LENGTH}",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 1 if any picture had no caption."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    set_up_logging()
    keep_memory()
    if arguments.num_captions > arguments.beam_size:
        parser.error(
            f"--num-captions can be at most --beam-size, but {arguments.num_captions} is more "
            f"than {arguments.beam_size}."
        )
    pictures = find_pictures(arguments.paths)
    if not pictures:
        logger.error("error: there is no picture to caption in %s", *arguments.paths[:1])
        return 1
    if arguments.format == "sidecar" and arguments.existing == "skip":
        pictures = [picture for picture in pictures if not sidecar(picture).exists()]
        if not pictures:
            logger.info("Every picture has its captions already.")
            return 0
    try:
        model = load_model(arguments.model, device=choose_device(arguments.device))
    except (DeviceError, ModelError, CheckpointError) as error:
        logger.error("error: %s", error)
        return 1
    failed: list[Path] = []
    results = inference(
        pictures,
        model,
        beam_size=arguments.beam_size,
        num_captions=arguments.num_captions,
        max_length=arguments.max_length,
    )
    shown = _report(progress(results, "caption", len(pictures)), failed)
    if arguments.format == "sidecar":
        write_sidecars(shown, arguments.existing)
    else:
        target = nullcontext(sys.stdout)
        if arguments.output:
            target = arguments.output.open("w", encoding="utf-8", newline="")
        with target as out:
            WRITERS[arguments.format](shown, out)
    return 1 if failed else 0


def _report(results: Iterable[Result], failed: list[Path]) -> Iterable[Result]:
    """Pass results on; name those without a caption on standard error, and note them."""
    for result in results:
        if result.error:
            logger.error("%s: %s", result.path, result.error)
            failed.append(result.path)
        yield result


if __name__ == "__main__":
    sys.exit(main())
