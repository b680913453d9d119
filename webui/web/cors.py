"""Which sites' scripts may ask for captions: those that CAPTIONIZE_CORS_ORIGINS lists."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, request

from webui.web.extensions import service
from webui.web.settings import Settings

REMEMBERED_S = 3600
EXPOSED = "X-Request-ID, Retry-After"


def init_app(app: Flask) -> None:
    """Answer browsers that ask for a listed site; without a list nothing is added to any answer."""
    app.extensions["cross_origin"] = set()
    if app.extensions["settings"].cors_origins:
        app.after_request(_allow)


def open_to_sites(app: Flask, *blueprints: Blueprint) -> None:
    """Open these routes to the listed sites, though never with a visitor's cookie."""
    app.extensions["cross_origin"] |= {one.name for one in blueprints}


def _allow(response: Response) -> Response:
    if request.blueprint not in current_app.extensions["cross_origin"]:
        return response
    response.vary.add("Origin")
    origin = request.headers.get("Origin", "").lower()
    if origin not in service(Settings).cors_origins:
        return response
    response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if request.method == "OPTIONS":
        asked = request.headers.get("Access-Control-Request-Headers", "")
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = asked
        response.headers["Access-Control-Max-Age"] = str(REMEMBERED_S)
    return response
