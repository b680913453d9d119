"""Captionize's one command: captions pictures, and runs the commands of the service and training.

A single module, because it does a single thing: look a command up in a table, import its module
and call it. Nothing else is imported, so that `captionize --help` answers at once, and so that a
command works wherever what it needs itself is installed. Completion alone is told of all of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

__version__ = "1.0.0"

COMMANDS = {  # name -> (module with a `main`, the extra that it needs, what it does)
    "caption": ("training.caption", "", "caption pictures: what is done without a command"),
    "batch": ("training.batch", "[batch]", "caption pictures by the million, on many machines"),
    "serve": ("webui.serve", "", "start TorchServe and the page"),
    "admin": ("webui.admin", "", "manage the versions of a running service"),
    "mcp": ("webui.mcp", "[mcp]", "offer captions to assistants (MCP)"),
    "train": ("training.train", "[train]", "train a captioner on your own pictures"),
    "evaluate": ("training.evaluate", "[train]", "score a captioner"),
    "calibrate": ("training.calibrate", "[train]", "fit a captioner's confidence"),
    "adopt": ("training.adopt", "[adopt]", "make an archive of a published captioner"),
    "export": ("training.export", "[train]", "export a checkpoint to TorchScript"),
    "archive": ("training.archive", "[train]", "pack a run into an archive that can be served"),
    "completion": ("basics.completion", "", "print the completion for bash, zsh or fish"),
}
OWN = ("basics", "handler", "training", "webui")


def usage() -> str:
    """What `captionize --help` prints: at most 24 lines of 80 characters."""
    commands = "\n".join(f"  {name:<10} {does}" for name, (_, _, does) in COMMANDS.items())
    return f"""\
usage: captionize PICTURE...
       captionize COMMAND ARGUMENT...

Captions pictures, and folders of them, or runs a command:

{commands}

`captionize COMMAND --help` lists what a command takes, and `captionize caption
--help` what pictures can be given with. A picture that is named like a command
is written ./NAME. `captionize --version` prints the version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, or caption; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] == "--version":
        print(f"captionize {__version__}")
        return 0
    name = words.pop(0) if words[0] in COMMANDS else "caption"
    module, extra, _ = COMMANDS[name]
    more = {"commands": COMMANDS} if name == "completion" else {}
    try:
        return int(importlib.import_module(module).main(words, prog=f"captionize {name}", **more))
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in OWN:
            raise
        print(
            f"captionize {name} needs {error.name}, which is not installed. "
            f"In the folder of Captionize's source, run: pip install '.{extra}'",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
