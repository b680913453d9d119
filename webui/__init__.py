"""The web front of Captionize: a page and an API over TorchServe.

One blueprint a file. `torchserve` alone talks to TorchServe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from webui.administrator import auth
from webui.captions import api as captions_api
from webui.captions import health
from webui.captions import page as captions_page
from webui.docs import page as docs_page
from webui.operations import page as operations_page
from webui.telemetry import logs, metrics, requestid
from webui.torchserve.client import TorchServe
from webui.versions import api as versions_api
from webui.versions import page as versions_page
from webui.web import compression, errors, security
from webui.web.extensions import csrf, limiter
from webui.web.settings import LOOPBACK, PREFIX, Settings

# What a form may hold beside its picture. Werkzeug also holds each chunk of a file, 64 KiB and a
# few bytes that could be a boundary, against it: with 64 KiB some pictures would be refused.
FORM_BYTES = 128 * 1024


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application from CAPTIONIZE_* variables, over which `config` wins.

    Raises ValueError for a setting that cannot be used.
    """
    app = Flask(__name__)
    app.config.from_prefixed_env(PREFIX)
    app.config.from_mapping(config or {})
    settings = Settings.from_config(app.config)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        # Health checks ask on the machine itself, whatever names the page has outside.
        TRUSTED_HOSTS=[*settings.trusted_hosts, *LOOPBACK],
        MAX_CONTENT_LENGTH=settings.max_upload_bytes + FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
        MAX_FORM_PARTS=20,
    )
    if settings.proxies:
        count = settings.proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
        )
    app.extensions["settings"] = settings
    app.extensions["torchserve"] = TorchServe(settings, headers=requestid.headers, note=logs.note)
    app.extensions["torchserve_view"] = operations_page.TorchServeView()

    app.json.sort_keys = False  # type: ignore[attr-defined]  # answers keep TorchServe's order
    errors.init_app(app)
    requestid.init_app(app)
    metrics.init_app(app)  # before what refuses, so that refused requests are counted too
    logs.init_app(app)
    security.init_app(app)
    compression.init_app(app)
    limiter.init_app(app)
    csrf.init_app(app)
    captions_page.init_app(app)
    versions_page.init_app(app)
    pages = (captions_page, versions_page, auth, operations_page, docs_page)
    for module in (*pages, captions_api, versions_api, health, metrics):
        app.register_blueprint(module.bp)
    return app
