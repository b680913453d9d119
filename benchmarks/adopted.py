"""How fast adopted captioners are beside ``transformers``: ``python -m benchmarks.adopted``.

Models of full size with drawn weights, three beams of 20 tokens, float32 on both sides, taking
turns. Also what a model takes of memory when it is served.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Task, alternate, machine, ratios, table
from handler.engines import OnnxEngine, Search, TorchScriptEngine, pieces_for, read_module
from training.adoption.families.table import read
from training.adoption.onnx_parts import build_graph
from training.adoption.published import library, read_processing
from training.adoption.reference import Reference
from training.packaging.exporting import export

WORDS = 6
SEARCH = Search(3, WORDS, 3)
TARGETS = {"blip": (1.8, 2.5), "git": (1.8, 2.5), "vit-gpt2": (1.7, 1.5)}  # alone, and 8 pictures
MEMORY_FACTOR, MEMORY_MORE = 1.2, 500e6
RESIDENT = """
import resource, sys, torch
from handler.engines import OnnxEngine, Search, read_module
from pathlib import Path
engine = OnnxEngine(read_module(Path(sys.argv[1]), torch.device("cpu")), 0)
size = int(sys.argv[2])
engine(torch.zeros(1, 3, size, size, dtype=torch.uint8), Search(3, 6, 3))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(int(status["VmRSS"].split()[0]) * 1024, most * 1024)
"""


def models() -> dict[str, Callable[[], tuple[Any, Any]]]:
    """By name, what makes a model of full size and its image processor."""
    hf = library()

    def vit_gpt2() -> tuple[Any, Any]:
        kinds = hf.ViTConfig(), hf.GPT2Config()
        config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(*kinds)
        config.decoder_start_token_id = config.eos_token_id = config.pad_token_id = 50256
        model = hf.VisionEncoderDecoderModel(config)
        generation = model.generation_config
        generation.decoder_start_token_id = generation.eos_token_id = 50256
        generation.pad_token_id = 50256
        return model, hf.ViTImageProcessor()

    return {
        "blip": lambda: (
            hf.BlipForConditionalGeneration(hf.BlipConfig()),
            hf.BlipImageProcessor(),
        ),
        "git": lambda: (hf.GitForCausalLM(hf.GitConfig()), hf.CLIPImageProcessor()),
        "vit-gpt2": vit_gpt2,
    }


def measure(name: str, rounds: int, folder: Path) -> list[list[str]]:
    """Rows of the report about one model."""
    torch.manual_seed(0)
    model, processor = models()[name]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    del model
    captioner = read(folder, torch.zeros(0, dtype=torch.bool))
    parameters = sum(p.numel() for p in captioner.parameters())
    size, path, cpu = captioner.image_size, folder / "captioner.pt", torch.device("cpu")
    export(captioner, path, build=build_graph, tolerance=1e-3)
    del captioner
    resident = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(path), str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    memory, peak = map(int, resident.stdout.split())
    reference = Reference(folder, read_processing(folder))
    engines = {
        "ONNX Runtime": OnnxEngine(read_module(path, cpu)),
        "TorchScript": TorchScriptEngine(read_module(path, cpu), cpu),
    }
    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, size, size), generator=chance, dtype=torch.uint8)
    rows = []
    for count, target in zip((1, 8), TARGETS[name], strict=True):
        some = images[:count]

        def ask(some: torch.Tensor = some) -> object:
            return reference.generate(some, SEARCH.beam_size, pieces_for(WORDS), 1.0)

        tasks = [Task("transformers", count, ask)]
        for engine, run in engines.items():
            tasks.append(Task(engine, count, lambda run=run, some=some: run(some, SEARCH)))  # type: ignore[misc]
        rates = alternate(tasks, rounds)
        for engine in engines:
            gain = statistics.median(ratios(rates[engine], rates["transformers"]))
            seconds = [count / statistics.median(rates[one]) for one in ("transformers", engine)]
            rows.append(
                [f"{name}, {count} by {engine}", *(f"{one:.2f}" for one in seconds), f"{gain:.2f}"]
                + [f"at least {target}", "met" if gain >= target else "**not met**"]
            )
    most = MEMORY_FACTOR * 4 * parameters + MEMORY_MORE
    rows.append(
        [f"{name}, memory in GB (peak while loading {peak / 1e9:.2f})", "", f"{memory / 1e9:.2f}"]
        + ["", f"at most {most / 1e9:.2f}", "met" if memory <= most else "**not met**"]
    )
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adopted", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    print(f"{machine()}; {options.rounds} rounds. Seconds of a batch:\n")
    rows = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, options.rounds, Path(folder))
    print(table(["what", "transformers", "ours", "gain", "target", ""], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
