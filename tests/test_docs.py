"""The pages for people: what they link to and name is there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from webui.web.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("[bt]*/*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
# Only what lies in these is looked for: a page also names files that a run makes.
FOLDERS = "basics|handler|training|webui|tests|benchmarks|docs|deploy"
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?:{FOLDERS})(?:/[\w.*-]+)*/?|[\w-]+\.(?:md|yaml|toml|properties)|Makefile")
MODULE = re.compile(r"-m ((?:training|webui|benchmarks|tests)[.\w]*)")
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
SERVING_PATH = "Reading the serving path"


def code(text: str) -> list[str]:
    """What stands between single backticks, blocks apart."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.M))


def blocks(text: str) -> str:
    """The blocks of code and what stands between backticks: where commands are."""
    return "\n".join([*re.findall(r"^```.*?^```", text, re.DOTALL | re.M), *code(text)])


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path, text: str) -> list[str]:
    """The links, paths, modules and targets of a page that lead nowhere."""
    wrong = []
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    wrong += [
        path
        for path in code(text)
        if PATH.fullmatch(path) and not any([*ROOT.glob(path), *page.parent.glob(path)])
    ]
    for module in MODULE.findall(blocks(text)):
        path = ROOT.joinpath(*module.split("."))
        if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
            wrong.append(module)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    return wrong + [name for name in TARGET.findall(blocks(text)) if name not in targets]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert missing(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs/nowhere.md)",
        "[a](README.md#nowhere)",
        "`handler/nowhere.py`",
        "`nowhere.yaml`",
        "`python -m training.nowhere`",
        "```sh\nmake nowhere\n```",
    ],
)
def test_what_is_not_there_is_noticed(text: str) -> None:
    assert len(missing(ROOT / "README.md", text)) == 1


def test_the_readme_is_short_and_links_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    links = {link.partition("#")[0] for link in LINK.findall(readme)}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= links


def test_the_table_of_variables_is_that_of_the_code() -> None:
    table = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    documented = set(re.findall(r"`(CAPTIONIZE_\w+)`", rows))
    known = {f"CAPTIONIZE_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    for file in (ROOT / "webui").rglob("*.py"):
        known |= set(re.findall(r"\bCAPTIONIZE_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8")))
    assert documented == known


def test_the_serving_path_has_the_length_that_is_promised() -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    section = text.split(SERVING_PATH)[1]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    files = [ROOT / path for path in code(table) if path.endswith(".py")]
    promised = int(re.findall(r"Some ([\d,]+) lines", section)[0].replace(",", ""))
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert abs(lines - promised) <= 0.1 * promised
    rooms = [*(ROOT / "handler").glob("*.py"), *(ROOT / "webui" / "captions").glob("*.py")]
    assert {file for file in rooms if file.name != "__init__.py"} < set(files)
