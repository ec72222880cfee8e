"""XML that strangers wrote, as a tree: no entities, no internal subset, bounded size and depth."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from segue.core.errors import DataError

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "parse_xml"]

MAX_DEPTH = 64
MAX_ELEMENTS = 2_000_000


def parse_xml(data: bytes) -> Element:
    """Parse a document; a DOCTYPE may name a DTD, which is not read, and may hold nothing.

    Raises:
        DataError: it is not XML, or uses what a score has no need of.
    """
    tree = TreeBuilder()
    depth = n_elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, n_elements
        depth += 1
        n_elements += 1
        if depth > MAX_DEPTH or n_elements > MAX_ELEMENTS:
            raise DataError("elements too deep or too many for a score")
        tree.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(name)

    def doctype(name: str, system: str | None, public: str | None, internal: int) -> None:
        if internal:
            raise DataError("a DOCTYPE with declarations, which are not read from strangers")

    def entity(*declaration: object) -> None:
        raise DataError("an entity declaration, which is not read from strangers")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = tree.data
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
        return tree.close()
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"not well-formed XML ({error})") from None
