"""What may import what: each room takes from those before it, and from none after it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = ("basics", "handler", "training", "webui")

WEB = {"webui.web", "webui.telemetry"}
SERVICE = {*WEB, "webui.torchserve", "webui.administrator"}
ROOMS: dict[str, set[str]] = {  # room -> the rooms that it may import
    "basics": set(),
    "handler": set(),
    "training.common": {"handler"},
    "training.pictures": {"handler", "training.common"},
    "training.data": {"handler", "training.common"},
    "training.model": {"handler", "training.common"},
    "webui.web": set(),
    "webui.telemetry": set(),
    "webui.server": WEB,
    "webui.torchserve": WEB,
    "webui.administrator": WEB,
    "webui.captions": SERVICE,
    "webui.operations": SERVICE,
    "webui.versions": {*SERVICE, "webui.captions", "webui.operations"},
    "webui.protocols": {*SERVICE, "webui.captions", "webui.versions"},
    "webui.launcher": {"webui.web", "webui.torchserve"},
    "webui.docs": {"webui.web"},
}
for _before, _room in (
    ("model", "metrics"),
    ("metrics", "trainer"),
    ("trainer", "packaging"),
    ("packaging", "adoption"),
):
    ROOMS[f"training.{_room}"] = {*ROOMS[f"training.{_before}"], f"training.{_before}"}
    ROOMS[f"training.{_room}"].add("training.data")
ROOMS["training.packaging"].add("training.pictures")
ROOMS["training.batch_inference"] = {*ROOMS["training.packaging"], "training.packaging"}
for _room, _before in ROOMS.items():
    if _room.startswith(("training", "webui")):
        _before.add("basics")
FOREIGN = {  # package -> what nothing in it may import
    "basics": {"captionize", "handler", "training", "webui", "torch", "flask", "PIL"},
    "handler": {"captionize", "training", "webui", "flask", "torchvision"},
    "training": {"captionize", "webui", "flask"},
    "webui": {"captionize", "handler", "training", "torch", "torchvision", "ts"},
}


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def room(name: str) -> str | None:
    """The room that a dotted name lies in; None for the doors and for other packages."""
    return next((r for r in ROOMS if name == r or name.startswith(f"{r}.")), None)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_goes_to_an_earlier_room(package: str) -> None:
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        mine = room(module)
        for name in imports(path):
            theirs, top = room(name), name.split(".")[0]
            upwards = mine and theirs and theirs != mine and theirs not in ROOMS[mine]
            door = mine and top in FOREIGN and theirs is None and top != "handler"
            if upwards or door or top in FOREIGN[package]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_imports_itself_by_way_of_others(package: str) -> None:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    graph = {
        module: {n if n in files else n.rpartition(".")[0] for n in imports(path)} & files.keys()
        for module, path in files.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]), pytrace=False)


def test_every_folder_of_code_is_a_room() -> None:
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert {one for one in folders if room(one) is None} == {"training", "webui"}


def test_the_only_client_of_torchserve_knows_no_flask() -> None:
    for path in sorted((ROOT / "webui" / "torchserve").glob("*.py")):
        wrong = [name for name in imports(path) if name.split(".")[0] in ("flask", "flask_limiter")]
        assert not wrong, f"{path.name} imports {wrong}"


def test_the_command_imports_the_standard_library_alone() -> None:
    names = {name.split(".")[0] for name in imports(ROOT / "captionize.py")}
    assert names <= sys.stdlib_module_names


def test_this_test_would_notice(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("def f():\n    from training.trainer import epochs\n")
    assert list(imports(path)) == ["training.trainer.epochs"]
    assert room("training.trainer.epochs") not in ROOMS["training.data"]
