"""The exported table as LibreOffice opens it."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.captioning import ANSWER, answer_all, download

TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
# What its dialog offers for a file that begins with UTF-8's mark: comma, quotation mark, UTF-8.
# Without a window there is no dialog, and LibreOffice would take the machine's own encoding.
OFFERED = "CSV:44,34,76,1"
OPEN_S = 120  # for LibreOffice's first start, on a busy machine
NAMES = ("=1+1.png", "a,b.png", "ünï 日本.png", "00123.png", "2024-05-06.png")
CAPTION = 'a "dog"; it runs, jumps\tand says „süß“ 🐕'


def opened(table: Path) -> list[list[str]]:
    """The cells that LibreOffice makes of a file, by rows; a formula would be an AssertionError."""
    profile = f"-env:UserInstallation={(table.parent / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", f"--infilter={OFFERED}", "--convert-to", "fods"]
    command.append(table.name)
    subprocess.run(command, cwd=table.parent, check=True, capture_output=True, timeout=OPEN_S)
    rows = []
    for row in ElementTree.parse(table.with_suffix(".fods")).iter(f"{TABLE}table-row"):
        cells: list[str] = []
        for cell in row.iter(f"{TABLE}table-cell"):
            assert f"{TABLE}formula" not in cell.attrib
            text = "\n".join("".join(_characters(p)) for p in cell.findall(f"{TEXT}p"))
            repeated = int(cell.get(f"{TABLE}number-columns-repeated", 1))
            cells += [text] * (repeated if text or repeated < 100 else 0)
        rows += [cells] if any(cells) else []
    return rows


def _characters(paragraph: ElementTree.Element) -> list[str]:
    """Its text, in which OpenDocument writes tabs and further spaces as elements."""
    parts = [paragraph.text or ""]
    for child in paragraph:
        parts.append("\t" if child.tag == f"{TEXT}tab" else " " if child.tag == f"{TEXT}s" else "")
        parts.append(child.tail or "")
    return parts


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not installed")
def test_a_spreadsheet_opens_the_table_right(page: Page, tmp_path: Path) -> None:
    answer_all(page, {**ANSWER, "captions": [{**ANSWER["captions"][0], "caption": CAPTION}]})
    for name in NAMES:
        Image.new("RGB", (64, 48), "teal").save(tmp_path / name)
    page.locator("#image").set_input_files([tmp_path / name for name in NAMES])
    expect(page.locator(".card[data-state=done]")).to_have_count(len(NAMES))
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("=HYPERLINK(1) and «so on»")
    page.keyboard.press("Enter")
    table = tmp_path / "captions.csv"
    table.write_bytes(download(page, "Table (CSV)"))
    written = list(csv.reader(io.StringIO(table.read_text("utf-8-sig"), newline="")))
    cells = opened(table)
    assert cells[0] == written[0]
    assert [row[0] for row in cells[1:]] == ["'=1+1.png", *NAMES[1:]]
    caption = written[0].index("caption")
    said = CAPTION[0].upper() + CAPTION[1:]
    assert [row[caption] for row in cells[1:]] == ["'=HYPERLINK(1) and «so on»", *[said] * 4]
    confidence = written[0].index("confidence")
    assert [row[confidence] for row in cells[1:]] == ["", *["0.6"] * 4]
