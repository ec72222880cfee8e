"""Names and paths as exchange formats can hold them.

File names and tags are whatever a disk holds: quotes, newlines, bytes that are no UTF-8 (lone
surrogates in Python). A name is for people, so it is cleaned; a path must find the file again, so
it is written as a URL of the exact bytes.
"""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

__all__ = ["ascii_only", "element", "file_url", "one_line", "xml_document"]

_REPLACEMENT = "�"


def one_line(text: str) -> str:
    """Return `text` without control characters, lone surrogates or line breaks, spaces collapsed.

    Invisible joiners stay: they hold emoji and several scripts together.
    """
    return " ".join("".join(map(_plain_character, text)).split())


def file_url(path: str) -> str:
    """Return the absolute `file://` URL of a path, its exact bytes percent-encoded."""
    return Path(path).absolute().as_uri()


def ascii_only(text: str) -> str:
    """Return `text` in ASCII, accents taken off and everything else dropped."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def element(
    parent: ElementTree.Element | None, tag: str, text: object = None, **attributes: object
) -> ElementTree.Element:
    """Append a child to `parent` (or make a root); attributes that are None are left out."""
    values = {key: one_line(str(value)) for key, value in attributes.items() if value is not None}
    node = (
        ElementTree.Element(tag, values)
        if parent is None
        else ElementTree.SubElement(parent, tag, values)
    )
    if text is not None:
        node.text = one_line(str(text))
    return node


def xml_document(root: ElementTree.Element) -> str:
    """Return an indented XML document in UTF-8 with the document type that editors look for."""
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE {root.tag}>\n{body}\n'


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    # XML forbids surrogates and the last two code points of every plane.
    if category == "Cs" or ord(character) & 0xFFFE == 0xFFFE:
        return _REPLACEMENT
    return character
