"""The rule of names that models and versions keep."""

from __future__ import annotations

import re

# TorchServe takes every path with "/token" in it for its token API.
NAME = re.compile(r"(?!token)[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
