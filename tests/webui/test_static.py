"""The scripts' rooms: what imports what, and that nothing lies about unused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import webui

FRONT = Path(webui.__file__).parent
SCRIPTS = FRONT / "static/js"
MODULES = sorted(SCRIPTS.rglob("*.js"))
IMPORT = re.compile(r'^import (?:\* as \w+|\{([^}]*)\}) from "([^"]+)";$', re.MULTILINE)
# What is loaded only when it is needed.
LATER = re.compile(r'(?:new Worker\(new URL|await import)\("([^"]+)"')


def imports(module: Path) -> list[tuple[Path, set[str]]]:
    """The modules that one imports, with the names that it takes from each."""
    text = module.read_text()
    found = IMPORT.findall(text) + [("", address) for address in LATER.findall(text)]
    return [
        ((module.parent / address).resolve(), set(re.findall(r"\w+", names)))
        for names, address in found
    ]


def room(module: Path) -> str:
    return module.relative_to(SCRIPTS).parts[0]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SCRIPTS)))
def test_a_script_imports_what_there_is_from_its_own_room_or_from_web(module: Path) -> None:
    for imported, names in imports(module):
        assert imported in MODULES
        assert room(imported) in {room(module), "web"}
        exported = re.findall(
            r"export (?:async )?(?:const|function|class) (\w+)", imported.read_text()
        )
        assert names <= set(exported)


def test_every_script_and_stylesheet_is_used() -> None:
    templates = "".join(path.read_text() for path in (FRONT / "templates").glob("*.html"))
    pages = {path for path in MODULES if f"js/{path.relative_to(SCRIPTS)}" in templates}
    used, waiting = set(pages), list(pages)
    while waiting:
        new = {imported for imported, _ in imports(waiting.pop())} - used
        used |= new
        waiting += new
    assert used == set(MODULES)
    for sheet in (FRONT / "static/css").rglob("*.css"):
        assert str(sheet.relative_to(FRONT / "static")) in templates
