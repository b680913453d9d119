"""Operations snapshots of a service that was never there, as GET /api/operations answers them."""

from __future__ import annotations

import math
from typing import Any

from tests.webui.told_by_torchserve import ON_GPU

START = 1_767_225_600.0  # seconds since the epoch


def snapshot(time: float = START, **health: str) -> dict[str, Any]:
    """An hour of a steady service, with a gap of two minutes and a change of the default."""
    times = [time - 10 * age for age in reversed(range(360)) if not 100 < age < 113]
    waves = [1 + math.sin(moment / 300) for moment in times]
    history = {
        "time": times,
        "captions": [round(60 * wave) for wave in waves],
        "p95_seconds": [round(0.2 + 0.1 * wave, 3) for wave in waves],
        "failed_share": [0.02 if wave > 1.9 else 0.0 for wave in waves],
        "waiting": [round(3 * wave) for wave in waves],
    }
    worker = {
        "id": "9000",
        "state": "READY",
        "memory_bytes": 400 * 2**20,
        "gpu": False,
        "started": "2026-01-01T12:00:00Z",
    }
    return {
        "health": {"state": "good", "sentence": "Captions are coming.", "cause": "", **health},
        "now": {
            **{name: values[-1] for name, values in history.items()},
            "p50_seconds": 0.15,
            "failed_status": None,
            "places": 128,
        },
        "history": history,
        "marks": [
            {"time": time - 1800, "text": "2.0 was registered."},
            {"time": time - 600, "text": "2.0 became the default."},
        ],
        "versions": [
            {"version": "1.1", "default": False, "workers": [], "gpus": []},
            {"version": "2.0", "default": True, "workers": [worker, worker], "gpus": [ON_GPU]},
        ],
        "keys": [
            {"name": "site", "answered": 7, "refused": 2, "failed": 0, "last": worker["started"]},
            {"name": "phone", "answered": 0, "refused": 0, "failed": 0, "last": None},
        ],
    }
