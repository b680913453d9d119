"""Gunicorn's settings for the page: gunicorn --config webui/gunicorn.conf.py"""

import os
import secrets
from pathlib import Path

from webui.telemetry import logs

wsgi_app = "webui:create_app()"
bind = f"{os.environ.get('CAPTIONIZE_HOST', '127.0.0.1')}:{os.environ.get('CAPTIONIZE_PORT', 8000)}"

# One process with threads: the page only waits for TorchServe, and rate limits and metrics are
# counted in its memory. A second process would double the limits and halve the metrics.
workers = 1
worker_class = "gthread"
threads = 32

# The keys that sign cookies outlive a worker that is restarted.
os.environ.setdefault("CAPTIONIZE_SECRET_KEY", secrets.token_hex(32))

timeout = 60  # seconds without a heartbeat; threads wait for captions without blocking it
graceful_timeout = 30  # seconds that running requests have to finish at a stop
keepalive = 5
# The heartbeat's file in memory: on a slow disk it can block a worker until it is killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
control_socket_disable = True  # nothing administers gunicorn, and its socket lies in the home

accesslog = None  # the application's own log has a line a request, without who sent what
errorlog = "-"
logconfig_dict = logs.configuration(os.environ.get("CAPTIONIZE_LOG_FORMAT", "json"))
proc_name = "captionize"
