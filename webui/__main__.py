"""Serves the page alone, for a TorchServe that runs elsewhere: `python -m webui`."""

from __future__ import annotations

import logging.config
import os
import sys

from webui import create_app, start_threads
from webui.server.run import check_environment, listen, serve
from webui.telemetry import logs
from webui.web.settings import Settings


def main() -> int:
    """Run it until it is stopped; returns the exit status."""
    try:
        check_environment(os.environ)
        settings = Settings.from_environment()
        logging.config.dictConfig(logs.configuration(settings.log_format))
        app = create_app()
    except ValueError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host} port {settings.port}: {error.strerror}"
        print(f"{where}. Set CAPTIONIZE_HOST, CAPTIONIZE_PORT.", file=sys.stderr)
        return 1
    if settings.open_to_all:
        logging.getLogger("webui").warning("%s", settings.open_to_all)
    start_threads(app)
    serve(app, listener, settings.max_body_bytes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
