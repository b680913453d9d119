"""Starts TorchServe and the page together and stops them together: `python -m webui.serve`.

TorchServe's own launcher is passed by: it keeps one pid file for the whole machine, which refuses
a second instance, and it ends before the server does. Java is started directly instead, in the run
folder, where TorchServe then writes its keys.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from webui.launcher.launch import StopRequest, can_caption, run, say
from webui.launcher.plan import LaunchError, Plan
from webui.launcher.processes import adopt_orphans


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m webui.serve", description=__doc__.split(":")[0]
    )
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
    options = parser.parse_args(arguments)
    stop = StopRequest()
    adopt_orphans()
    try:
        plan = Plan.from_environment(os.environ)
        if options.check:
            return 0 if can_caption(plan, with_page=not options.without_page) else 1
        run(plan, stop, with_page=not options.without_page)
    except LaunchError as error:
        say(str(error), sys.stderr)
        return 1
    say("Captionize has stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
