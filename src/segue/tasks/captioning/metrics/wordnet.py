"""Synonyms from WordNet's plain database files, read without any other package.

WordNet is not part of Segue. Where its files are installed (the Debian package wordnet-base puts
them into /usr/share/wordnet) the METEOR of the original program counts synonyms as that program
did: two words match when one is among the lemmas of any sense of the other. Files, as WordNet's
manual page wndb(5) describes them: `index.POS` (lemma -> offsets of its senses), `data.POS` (a
sense and its words) and `POS.exc` (irregular forms -> lemmas), POS being noun, verb, adj, adv.
"""

from __future__ import annotations

from pathlib import Path

from segue.core.errors import DataError

__all__ = ["WordNet"]

# Endings and what takes their place, of WordNet's own search for the base form, morphy(7).
_RULES = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"),
        ("shes", "sh"), ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip


class WordNet:
    """The words of WordNet and their senses.

    Args:
        folder: holds the files of the database.

    Raises:
        DataError: a file is missing or not one of WordNet's.
    """

    def __init__(self, folder: Path) -> None:
        self._senses: dict[str, dict[str, list[int]]] = {}
        self._irregular: dict[str, dict[str, list[str]]] = {}
        self._lines: dict[str, bytes] = {}
        for part in _RULES:
            self._senses[part] = _index(folder / f"index.{part}")
            self._lines[part] = _read(folder / f"data.{part}")
            irregular = _read(folder / f"{part}.exc").decode("utf-8", "replace").splitlines()
            self._irregular[part] = {w[0]: w[1:] for line in irregular if (w := line.split())}
        self._known: dict[str, frozenset[str]] = {}

    def synonyms(self, word: str) -> frozenset[str]:
        """Return the single words that share a sense with a lower-case word, and the word itself.

        They keep the case of the database: "Paris" matches no lower-case word.
        """
        found = self._known.get(word)
        if found is None:
            found = frozenset({word}.union(*(self._lemmas(*sense) for sense in self._of(word))))
            self._known[word] = found
        return found

    def _of(self, word: str) -> list[tuple[str, int]]:
        return [
            (part, offset)
            for part in _RULES
            for form in self._base_forms(word, part)
            for offset in self._senses[part].get(form, ())
        ]

    def _base_forms(self, word: str, part: str) -> list[str]:
        known = self._senses[part]
        if word in self._irregular[part]:
            forms = [word, *self._irregular[part][word]]
            return [form for form in dict.fromkeys(forms) if form in known]
        forms = self._shortened([word], part)
        found = [form for form in dict.fromkeys([word, *forms]) if form in known]
        while forms and not found:
            forms = self._shortened(forms, part)
            found = [form for form in dict.fromkeys(forms) if form in known]
        return found

    def _shortened(self, forms: list[str], part: str) -> list[str]:
        return [
            form[: -len(ending)] + other
            for form in forms
            for ending, other in _RULES[part]
            if form.endswith(ending)
        ]

    def _lemmas(self, part: str, offset: int) -> list[str]:
        lines = self._lines[part]
        fields = lines[offset : lines.index(b"\n", offset)].decode("utf-8", "replace").split()
        words = (fields[4 + 2 * i] for i in range(int(fields[3], 16)))
        # Adjectives carry a mark of their place, as in "galore(ip)".
        return [word.partition("(")[0] for word in words if "_" not in word]


def _index(path: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    try:
        for line in _read(path).decode("utf-8", "replace").splitlines():
            if line and not line.startswith(" "):
                fields = line.split()
                found[fields[0]] = [int(offset) for offset in fields[6 + int(fields[3]) :]]
    except (IndexError, ValueError):
        raise DataError(f"is not an index of WordNet: '{line[:60]}'", where=path) from None
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read WordNet: {error.strerror}",
            where=path,
            advice="Give the folder with index.noun, data.noun, noun.exc, ... "
            "(Debian: apt install wordnet-base, /usr/share/wordnet)",
        ) from None
