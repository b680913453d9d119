"""The web front of Captionize: pages and an API over TorchServe.

`create_app` is the list of what it is made of. What several parts share is made there and kept by
its class: `service(TorchServe)` in `webui.web.extensions` gives it to whoever needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Any

from flask import Flask

from webui.administrator import auth, keys
from webui.administrator.audit import Audit
from webui.captions import api as captions_api
from webui.captions import captioning, health
from webui.captions import page as captions_page
from webui.captions.canary import Canary
from webui.docs import page as docs_page
from webui.operations import page as operations_page
from webui.operations.watch import Watch
from webui.protocols import inference, ollama, openai
from webui.telemetry import logs, metrics, requestid, tracing
from webui.torchserve.client import TorchServe
from webui.torchserve.management import Known, Management
from webui.torchserve.pulse import Pulse
from webui.torchserve.report import Report
from webui.versions import api as versions_api
from webui.versions import page as versions_page
from webui.versions.archives import Store
from webui.versions.catalogue import Catalogue
from webui.versions.deployment import Deployment
from webui.versions.jobs import Jobs
from webui.versions.lost import Lost
from webui.versions.restoring import Restoring
from webui.versions.workers import Workers
from webui.web import compression, cors, errors, hosts, proxies, security
from webui.web.extensions import count_in, csrf, limiter, provide
from webui.web.settings import FORM_BYTES, PREFIX, Settings
from webui.web.shared import open_store
from webui.web.state import State

# Each adds what it does for every request. Requests are counted before anything refuses them.
HOOKS = (
    errors,
    requestid,
    metrics,
    logs,
    tracing,
    hosts,
    proxies,
    security,
    cors,
    compression,
    limiter,
    csrf,
)
PAGES = (captions_page, versions_page, auth, operations_page, docs_page)
FOREIGN = (ollama, openai, inference)  # the APIs that programs were written for
PROGRAMS = (captions_api, versions_api, health, metrics)  # what programs ask


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application from CAPTIONIZE_* variables, over which `config` wins.

    Raises ValueError for a setting that cannot be used.
    """
    app = Flask(__name__)
    app.config.from_prefixed_env(PREFIX)
    app.config.from_mapping(config or {})
    settings = Settings.from_config(app.config)
    _configure(app, settings)
    _provide_services(app, settings)
    for part in (*HOOKS, auth, keys, captioning, captions_page):
        part.init_app(app)
    for part in (*PAGES, *PROGRAMS, *FOREIGN):
        app.register_blueprint(part.bp)
    for part in FOREIGN:
        errors.shape(app, part.PATHS, part.error_json)
    cors.open_to_sites(app, captions_api.bp, *(part.bp for part in FOREIGN))
    return app


def start_threads(app: Flask) -> None:
    """Begin what goes on beside requests: once, in the process that serves, and in no test."""
    for one in (app.extensions["watch"], app.extensions["restoring"]):
        one.start()


def _configure(app: Flask, settings: Settings) -> None:
    """Set Flask's own configuration."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=settings.max_upload_bytes + FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
        MAX_FORM_PARTS=20,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # members in the order of their making
    app.wsgi_app = security.any_name(app.wsgi_app, logs.HEALTH)  # type: ignore[method-assign]


def _provide_services(app: Flask, settings: Settings) -> None:
    """Make what the parts share."""
    shared = open_store(settings.shared_store)
    count_in(app, shared)
    state = State(settings.state_file, shared)
    counted = metrics.Metrics()

    client = TorchServe(settings, headers=tracing.headers, note=logs.note)
    management = Management(client)
    known = Known(management, settings.model_name)

    canary = Canary(state, known, counted, shared)
    audit = Audit(settings.audit_file, shared)

    store = Store(settings.model_store, settings.max_archive_bytes)
    catalogue = Catalogue(management, store, state)
    model_log = Path(settings.model_log) if settings.model_log else None
    workers = Workers(management, model_log)
    jobs = Jobs(shared)
    deployment = Deployment(management, catalogue, known, canary, workers, jobs, audit, state)
    lost = Lost(f"{gethostname()}:{settings.port}", deployment.unrestored, shared)
    restoring = Restoring(deployment, lost, settings.key_file, settings.workers or 1)

    pulse = Pulse(client, settings.model_name)
    provide(app, settings, counted, client, management, known, pulse, canary)
    provide(
        app,
        audit,
        auth.Sessions(shared),
        keys.Usage(settings, counted, shared),
        store,
        catalogue,
        jobs,
        state,
        deployment,
        lost,
        restoring,
    )
    report = partial(Report.read, settings.key_file)
    look = (management, known.model, counted, lambda: canary.setting, model_log, report, shared)
    provide(app, Watch(*look))
