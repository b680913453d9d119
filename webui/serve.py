"""Starts TorchServe and the page together and stops them together: `python -m webui.serve`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from webui.launcher.launch import StopRequest, can_caption, run
from webui.launcher.plan import LaunchError, Plan
from webui.launcher.reporting import print_line


def build_parser(prog: str = "python -m webui.serve") -> argparse.ArgumentParser:
    """The command line of `webui.serve`."""
    parser = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").split(":")[0] + ".")
    parser.add_argument(
        "--without-page",
        action="store_true",
        help="start TorchServe alone, for a page that runs elsewhere",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="start nothing; exit with 0 when what runs can caption, with 1 otherwise",
    )
    return parser


def main(arguments: Sequence[str] | None = None, prog: str = "python -m webui.serve") -> int:
    """Run the command line; returns the exit status. `prog` is how the user called it."""
    options = build_parser(prog).parse_args(arguments)
    stop = StopRequest()
    try:
        plan = Plan.from_environment()
        if options.check:
            return 0 if can_caption(plan, with_page=not options.without_page) else 1
        run(plan, stop, with_page=not options.without_page)
    except LaunchError as error:
        print_line(str(error), sys.stderr)
        return 1
    print_line("Captionize has stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
