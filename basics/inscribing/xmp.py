"""XMP packets: XML about a picture, in which a caption stands twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast
from xml.dom import minidom  # nosec B408 # see _parsed
from xml.parsers.expat import ExpatError

from basics.inscribing.errors import CannotInscribe

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
ALT_TEXT = (IPTC_CORE, "AltTextAccessibility")
DESCRIPTION = (DC, "description")
MAX_BYTES = 2**20
EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'
OURS = (
    f'<rdf:Description xmlns:rdf="{RDF}" xmlns:dc="{DC}" xmlns:Iptc4xmpCore="{IPTC_CORE}">'
    "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'/></rdf:Alt></dc:description>"
    "<Iptc4xmpCore:AltTextAccessibility><rdf:Alt><rdf:li xml:lang='x-default'/></rdf:Alt>"
    "</Iptc4xmpCore:AltTextAccessibility></rdf:Description>"
)
PACKET = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{}\n<?xpacket end="w"?>'


def with_caption(packet: bytes | None, text: str) -> bytes:
    """The packet, or a new one, with this caption and none that it had."""
    document = _parsed(packet or EMPTY.encode())
    try:
        root = cast(minidom.Element, document.documentElement)
        roots = root.getElementsByTagNameNS(RDF, "RDF") or [root]
        about = ""
        for place in _descriptions(roots[0]):
            about = place.getAttributeNS(RDF, "about") or about
            for name in (ALT_TEXT, DESCRIPTION):
                if place.hasAttributeNS(*name):
                    place.removeAttributeNS(*name)
                for old in [*_children(place, *name)]:
                    place.removeChild(old).unlink()
        made = cast(minidom.Element, minidom.parseString(OURS).documentElement)  # nosec B318 # our own
        ours = document.importNode(made, deep=True)
        ours.setAttributeNS(RDF, "rdf:about", about)
        for item in ours.getElementsByTagNameNS(RDF, "li"):
            item.appendChild(document.createTextNode(text))
        roots[0].appendChild(ours)
        return PACKET.format(root.toxml()).encode()
    finally:
        document.unlink()


def alt_text(packet: bytes | None) -> str | None:
    """The alternative text of a packet, in the language that it has first."""
    if packet is None:
        return None
    document = _parsed(packet)
    try:
        texts = [
            "".join(node.data for node in item.childNodes if node.nodeType == 3)
            for found in document.getElementsByTagNameNS(*ALT_TEXT)
            for item in found.getElementsByTagNameNS(RDF, "li")
        ]
        return next(filter(None, texts), "" if texts else None)
    finally:
        document.unlink()


def _parsed(packet: bytes) -> minidom.Document:
    packet = packet.strip(b"\0 \r\n\t")
    # What XMP has no use for could make a few bytes of XML into gigabytes, in UTF-16 (zeros) too.
    declares = b"<!" in packet.replace(b"<!--", b"") or b"\0" in packet
    if len(packet) <= MAX_BYTES and not declares:
        try:
            return minidom.parseString(packet)  # nosec B318 # it declares nothing
        except (ExpatError, ValueError):
            pass
    raise CannotInscribe(
        "The picture's XMP is damaged or too large to add a caption. Remove it, or save the "
        "picture again."
    )


def _descriptions(root: minidom.Element) -> Iterator[minidom.Element]:
    return _children(root, RDF, "Description")


def _children(parent: minidom.Element, space: str, name: str) -> Iterator[minidom.Element]:
    for node in parent.childNodes:
        if isinstance(node, minidom.Element) and (node.namespaceURI, node.localName) == (
            space,
            name,
        ):
            yield node
