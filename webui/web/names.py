"""The one rule for the names of models, versions and archives.

A name becomes part of an address at TorchServe and a file in its model store, and TorchServe takes
every path with "/token" in it for its token API.
"""

from __future__ import annotations

import re

RULE = "1 to 100 letters, digits, '.', '_' and '-', beginning with neither a sign nor 'token'"

_NAME = re.compile(r"(?!token)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_name(text: str) -> bool:
    """Whether a model or a version may have this name."""
    return _NAME.fullmatch(text) is not None


def is_archive_name(text: str) -> bool:
    """Whether a file of this name may lie in the model store: a name, and .mar after it."""
    return text.endswith(".mar") and is_name(text.removesuffix(".mar"))
