"""Captions inside pictures, read back by exiftool; pixels and other metadata stay."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from basics import inscribing
from basics.inscribing import CannotInscribe, alt_text, inscribe, iptc, jpeg, tiff, xmp

CAPTION = "two dogs run through the grass"
ODD = "Ein Hund & eine <Katze>: „süß“ 犬 🐕"
PIXELS = Image.effect_noise((40, 30), 90).convert("RGB")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
READ = ("XMP:AltTextAccessibility", "XMP:Description", "EXIF:ImageDescription")
RATED = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{xmp.RDF}"><rdf:Description'
    ' rdf:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
    f' xmlns:dc="{xmp.DC}"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">old</rdf:li>'
    "</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def exif() -> Image.Exif:
    made = Image.Exif()
    made[271], made[270], made[274] = "Maker", "OLD DIGITAL CAMERA", 6
    made.get_ifd(34665)[36867] = "2020:01:02 03:04:05"
    return made


def saved(form: str, image: Image.Image = PIXELS, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


FULL: dict[str, Any] = {"exif": exif(), "icc_profile": PROFILE, "xmp": RATED.encode()}
PICTURES = {
    "plain.jpg": saved("JPEG"),
    "full.jpg": saved("JPEG", **FULL, comment="kept", progressive=True),
    "plain.png": saved("PNG"),
    "full.png": saved("PNG", exif=exif(), icc_profile=PROFILE),
    "plain.webp": saved("WEBP"),
    "lossless.webp": saved("WEBP", PIXELS.convert("RGBA"), lossless=True),
    "full.webp": saved("WEBP", **FULL),
    "plain.tif": saved("TIFF"),
    "full.tif": saved("TIFF", compression="tiff_lzw", icc_profile=PROFILE, tiffinfo={271: "Maker"}),
    "big.tif": saved("TIFF", big_tiff=True),
}


def told(folder: Path) -> dict[str, dict[str, Any]]:
    """What exiftool reads of all files in a folder, by name."""
    command = ["exiftool", "-json", "-G", "-charset", "iptc=utf8", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {Path(one["SourceFile"]).name: one for one in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("inscribed")
    for name, data in PICTURES.items():
        once = inscribe(data, CAPTION)
        (folder / name).write_bytes(once)
        (folder / f"odd-{name}").write_bytes(inscribe(once, ODD))  # in place of the first
    return told(folder)


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("name", PICTURES)
def test_exiftool_reads_it(read: dict[str, dict[str, Any]], name: str) -> None:
    for file, caption in ((name, CAPTION), (f"odd-{name}", ODD)):
        assert [read[file].get(tag) for tag in READ] == [caption] * 3
        if name.endswith(("jpg", "tif")):
            assert read[file]["IPTC:Caption-Abstract"] == caption
    if name.startswith("full"):
        assert read[name]["EXIF:Make"] == "Maker"
        assert read[name]["ICC_Profile:ProfileFileSignature"] == "acsp"
    if name in ("full.jpg", "full.webp"):
        assert read[name]["XMP:Rating"] == 4
        assert read[name]["XMP:About"] == "uuid:1"
        assert read[name]["EXIF:DateTimeOriginal"] == "2020:01:02 03:04:05"
        assert "old" not in json.dumps(read[name]["XMP:Description"])


@pytest.mark.parametrize("name", PICTURES)
def test_no_pixel_changes(name: str) -> None:
    before = PICTURES[name]
    after = inscribe(before, CAPTION)
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
        assert (one.mode, one.size, one.tobytes()) == (other.mode, other.size, other.tobytes())
    if name.endswith("jpg"):  # the compressed picture is there as it was
        assert before[before.index(b"\xff\xda") :] in after
    elif name.endswith("png"):
        assert before[before.index(b"IDAT") - 4 :] in after
    elif name.endswith("webp"):
        first = before.rindex(b"VP8")
        size = int.from_bytes(before[first + 4 : first + 8], "little")
        assert before[first : first + 8 + size] in after
    else:  # nothing moves
        assert after[16 : len(before)] == before[16:]


@pytest.mark.parametrize("name", PICTURES)
def test_it_is_read_back_and_replaced(name: str) -> None:
    assert alt_text(PICTURES[name]) is None
    once = inscribe(PICTURES[name], f" {CAPTION}\n")
    assert alt_text(once) == CAPTION
    twice = inscribe(once, ODD)
    assert alt_text(twice) == ODD
    assert CAPTION.encode() not in twice
    assert alt_text(inscribe(twice, None)) == ""  # decorative


@pytest.mark.parametrize(
    ("data", "caption", "said"),
    [
        (saved("GIF"), CAPTION, "JPEG, PNG, WEBP and TIFF"),
        (PICTURES["plain.jpg"], " \x00\n", "1 to 2000 characters, got 0"),
        (PICTURES["plain.jpg"], "a" * 2001, "got 2001"),
        (PICTURES["plain.jpg"][:300], CAPTION, "damaged"),
        (PICTURES["plain.png"][:-20], CAPTION, "damaged"),
        (PICTURES["plain.webp"][:-20], CAPTION, "damaged"),
        (PICTURES["plain.tif"][:20], CAPTION, "damaged"),
        (saved("JPEG", xmp=b"<x><!DOCTYPE y>"), CAPTION, "XMP is damaged"),
        (saved("JPEG", xmp=b"<a>" + b"b" * 65_000 + b"</a>"), CAPTION, "leaves no room"),
    ],
)
def test_what_cannot_be_written_is_said(data: bytes, caption: str, said: str) -> None:
    with pytest.raises(CannotInscribe, match=said):
        inscribe(data, caption)


@pytest.mark.parametrize("name", PICTURES)
def test_damage_anywhere_is_refused_or_kept_out(name: str) -> None:
    """No damaged byte leads to another error than the one that is for people."""
    data = bytearray(PICTURES[name])
    for place in range(0, min(len(data), 700), 3):
        broken = bytes(data[:place]) + b"\xff" + bytes(data[place + 1 :])
        for cut in (broken, bytes(data[:place])):
            try:
                inscribe(cut, CAPTION)
            except CannotInscribe:
                continue


def test_what_iptc_says_stays() -> None:
    keyword = b"\x1c\x02\x19\x00\x03cat"
    latin = b"\x1c\x02\x50\x00\x04Jos\xe9"
    assert keyword in iptc.with_caption(keyword, CAPTION)
    assert CAPTION.encode() in iptc.with_caption(latin, CAPTION)
    assert ODD.encode() not in iptc.with_caption(latin, ODD)  # an encoding that nobody declared
    assert iptc.UTF8 in iptc.with_caption(keyword, ODD)
    block = b"8BIM" + struct.pack(">HHI", 0x03ED, 0, 2) + b"ab"
    digest = b"8BIM" + struct.pack(">HHI", iptc.DIGEST, 0, 2) + b"cd"
    assert iptc.in_photoshop(block + digest, CAPTION).startswith(block)
    assert digest not in iptc.in_photoshop(block + digest, CAPTION)


def test_the_index_of_further_pictures_stays_right() -> None:
    plain = PICTURES["plain.jpg"]
    index = b"\xff\xe2\x00\x0aMPF\0abcd"
    indexed = plain[:2] + index + plain[2:]
    made = inscribe(indexed, CAPTION)
    assert made.endswith(indexed[2:])  # all distances from the index
    after = plain[:2] + index + jpeg._written((0xE1, jpeg.XMP + RATED.encode())) + plain[2:]
    with pytest.raises(CannotInscribe, match="several pictures"):
        inscribe(after, CAPTION)


def test_an_exif_that_is_damaged_is_left_as_it_is() -> None:
    data = PICTURES["plain.jpg"]
    broken = jpeg.EXIF + b"II*\0\xff\xff\xff\xff"
    made = inscribe(data[:2] + jpeg._written((0xE1, broken)) + data[2:], CAPTION)
    assert broken in made
    assert alt_text(made) == CAPTION
    assert tiff.read(tiff.with_description(b"", CAPTION), 270) == CAPTION.encode() + b"\0"
    assert inscribing.FORMATS
