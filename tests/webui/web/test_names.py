"""The one rule of names."""

from __future__ import annotations

import pytest

from webui.web.names import is_archive_name, is_name

GOOD = ["1", "1.0", "captioner", "A_b-c.d", "my-token", "a" * 100]
BAD = ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "١", "token", "tokens-1", "a" * 101]


@pytest.mark.parametrize("name", GOOD)
def test_a_name(name: str) -> None:
    assert is_name(name)
    assert is_archive_name(f"{name}.mar")
    assert not is_archive_name(name)


@pytest.mark.parametrize("name", BAD)
def test_what_is_none(name: str) -> None:
    assert not is_name(name)
    assert not is_archive_name(f"{name}.mar")
