"""Gunicorn's settings for the page: gunicorn --config webui/gunicorn.conf.py"""

import os
from pathlib import Path

from gunicorn.workers.base import Worker

from webui.telemetry import logs
from webui.web.settings import Settings, variable

settings = Settings.from_environment()

wsgi_app = "webui:create_app()"
bind = f"{settings.host}:{settings.port}"

# One process with threads: the page only waits for TorchServe, and rate limits and metrics are
# counted in its memory. A second process would double the limits and halve the metrics.
workers = 1
worker_class = "gthread"
threads = 32

# The keys that sign cookies outlive a worker that is restarted.
os.environ[variable("secret_key")] = settings.secret_key

timeout = 60  # seconds without a heartbeat; threads wait for captions without blocking it
graceful_timeout = 30  # seconds that running requests have to finish at a stop
keepalive = 5
# The heartbeat's file in memory: on a slow disk it can block a worker until it is killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
control_socket_disable = True  # nothing administers gunicorn, and its socket lies in the home

accesslog = None  # the application's own log has a line a request, without who sent what
errorlog = "-"
logconfig_dict = logs.configuration(settings.log_format)
proc_name = "captionize"


def post_worker_init(worker: Worker) -> None:
    """Have the operations page's figures kept from the start, not only once somebody looks.

    Here and not in `create_app`: a thread lives in the process that serves, and in no test.
    """
    worker.wsgi.extensions["watch"].start()
