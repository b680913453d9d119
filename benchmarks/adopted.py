"""How fast adopted captioners are beside ``transformers``: ``python -m benchmarks.adopted``.

Models of full size with drawn weights, three beams of 20 tokens, the same precision on both sides
(int8 beside float32), taking turns. Also what a model takes of memory when it is served. A run may
do a part of it: what was made and measured is kept in the folder, and each run adds to it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Task, alternate, machine, ratios, table
from handler.engines import (
    Engine,
    Exported,
    OnnxEngine,
    Search,
    TorchScriptEngine,
    pieces_for,
    read_module,
)
from training.adoption.families.table import read
from training.adoption.onnx_parts import build_graph
from training.adoption.precision import PRECISIONS, lowered
from training.adoption.published import library, read_processing
from training.adoption.reference import Reference
from training.adoption.weights import AdoptionError
from training.packaging.exporting import save_exported

CPU = torch.device("cpu")
WORDS = 6
SEARCH = Search(3, WORDS, 3)
TARGETS = {"blip": (1.8, 2.5), "git": (1.8, 2.5), "vit-gpt2": (1.7, 1.5)}  # alone, and 8 pictures
MEMORY_FACTOR, MEMORY_MORE = 1.2, 500e6  # of the weights in float32
ENGINES = ("torchscript", "onnxruntime")
MODULE, RESULTS = "captioner.pt", "results.json"
RESIDENT = """
import resource, sys, torch
from pathlib import Path
from benchmarks.adopted import SEARCH, load
engine = load(Path(sys.argv[1]), *sys.argv[2:4])
size = int(sys.argv[4])
engine(torch.zeros(1, 3, size, size, dtype=torch.uint8), SEARCH)
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


def make(name: str, folder: Path) -> None:
    """Write a model as it is published, and as it is served."""
    torch.manual_seed(0)
    model, processor = models()[name]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    del model
    captioner = read(folder, torch.zeros(0, dtype=torch.bool))
    graph = build_graph(captioner)
    script = torch.jit.script(captioner).half()
    save_exported(Exported(script, graph.onnx, graph.weights), folder / MODULE)


def load(folder: Path, engine: str, precision: str) -> Engine:
    """What runs a model that was made."""
    exported = read_module(folder / MODULE, CPU)
    if precision != "float32":
        exported = lowered(exported, precision)
    return OnnxEngine(exported) if engine == "onnxruntime" else TorchScriptEngine(exported, CPU)


def fastest_reference(folder: Path, dtype: torch.dtype) -> Reference:
    """``transformers`` with PyTorch's own attention, which some of its models do not have yet."""
    processing = read_processing(folder)
    try:
        return Reference(folder, processing, dtype, "sdpa")
    except AdoptionError:
        return Reference(folder, processing, dtype, "eager")


def engines_for(precision: str, wanted: Sequence[str]) -> list[str]:
    """Those of the wanted engines that compute in this precision."""
    only = {"bfloat16": ENGINES[:1], "int8": ENGINES[1:]}.get(precision, ENGINES)
    return [one for one in wanted if one in only]


def time_both(
    folder: Path, counts: Sequence[int], precision: str, wanted: Sequence[str], rounds: int
) -> dict[str, dict[str, float]]:
    """Seconds and gain of each engine, by what was measured."""
    processing = read_processing(folder)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    reference = fastest_reference(folder, dtype)
    engines = {name: load(folder, name, precision) for name in wanted}
    chance = torch.Generator().manual_seed(0)
    shape = (max(counts), 3, processing.size, processing.size)
    images = torch.randint(0, 256, shape, generator=chance, dtype=torch.uint8)
    found = {}
    for count in counts:
        some = images[:count]

        def ask(some: torch.Tensor = some) -> object:
            return reference.search(some, SEARCH.beam_size, pieces_for(WORDS), 1.0)

        tasks = [Task("transformers", count, ask)]
        for name, run in engines.items():
            tasks.append(Task(name, count, lambda run=run, some=some: run(some, SEARCH)))  # type: ignore[misc]
        rates = alternate(tasks, rounds)
        theirs = rates["transformers"]
        for name in engines:
            found[f"{precision}, {name}, {count}"] = {
                "theirs": count / statistics.median(theirs),
                "ours": count / statistics.median(rates[name]),
                "gain": statistics.median(ratios(rates[name], theirs)),
            }
    return found


def weigh(folder: Path, precision: str, engine: str) -> dict[str, float]:
    """Bytes of memory of a process that has captioned a picture, and its weights in float32."""
    size = read_processing(folder).size
    resident = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(folder), engine, precision, str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    memory, peak = map(float, resident.stdout.split())
    module = read_module(folder / MODULE, CPU).script
    weights = 4.0 * sum(one.numel() for one in module.parameters())
    return {"memory": memory, "peak": peak, "most": MEMORY_FACTOR * weights + MEMORY_MORE}


def report(name: str, results: dict[str, dict[str, float]]) -> list[list[str]]:
    """Rows of the table about one model."""
    rows = []
    for what, found in results.items():
        if "gain" not in found:
            memory, most = f"{found['memory'] / 1e9:.2f} GB", f"at most {found['most'] / 1e9:.2f}"
            met = "met" if found["memory"] <= found["most"] else "**not met**"
            peak = f"{found['peak'] / 1e9:.2f} GB while loading"
            rows.append([f"{name}, {what}", peak, memory, "", most, met])
            continue
        seconds = [f"{found[one]:.2f} s" for one in ("theirs", "ours")]
        target = met = ""
        if what.startswith("float32"):
            least = TARGETS[name][what.endswith(" 8")]
            target, met = f"{least}", "met" if found["gain"] >= least else "**not met**"
        rows.append([f"{name}, {what}", *seconds, f"{found['gain']:.2f}", target, met])
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adopted", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="to keep models and results in")
    parser.add_argument("--models", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--pictures", nargs="*", type=int, choices=(1, 8), default=[1, 8])
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    print(f"{machine()}; {options.rounds} rounds. Seconds of a batch:\n")
    engines = engines_for(options.precision, options.engines)
    rows = []
    for name in options.models:
        folder = options.folder / name
        kept = folder / RESULTS
        if not (folder / MODULE).is_file():
            make(name, folder)
        results = json.loads(kept.read_text()) if kept.is_file() else {}
        if options.pictures:
            results |= time_both(
                folder, options.pictures, options.precision, engines, options.rounds
            )
        for engine in [] if options.pictures else engines:
            what = f"{options.precision}, {engine}, memory"
            results[what] = weigh(folder, options.precision, engine)
        kept.write_text(json.dumps(results, indent=2))
        rows += report(name, dict(sorted(results.items())))
    print(table(["what", "transformers", "ours", "gain", "target", ""], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
