"""METEOR 1.5 by its own program, for figures that are compared with published ones.

The program is the Java archive inside the Python package pycocoevalcap (extra `eval`); it also
holds the tables of synonyms and paraphrases, which no in-process score here has. It is fed all
pairs at once and answers with the 23 counts of each alignment, from which `meteor` computes
scores: one process, one time limit, nothing left running.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MissingExtra, SegueError
from segue.tasks.captioning.metrics.meteor import FIELDS

__all__ = ["OfficialMeteor", "find_official"]

_START_S = 120.0  # loading the paraphrases takes 6 CPU seconds; a busy machine takes longer
_PAIR_S = 0.05  # a hundred times what a caption takes


def find_official() -> OfficialMeteor:
    """Find the program and Java.

    Raises:
        MissingExtra: pycocoevalcap or Java is not installed.
    """
    spec = find_spec("pycocoevalcap")
    folders = list(spec.submodule_search_locations or []) if spec else []
    archive = next(
        (p for f in folders if (p := Path(f, "meteor", "meteor-1.5.jar")).is_file()), None
    )
    if archive is None:
        raise MissingExtra(
            "METEOR 1.5 needs the package pycocoevalcap, which is not installed",
            advice="Install it: pip install 'segue[eval]'",
        )
    java = shutil.which("java")
    if java is None:
        raise MissingExtra(
            "METEOR 1.5 is a Java program and there is no 'java' on the PATH",
            advice="Install a Java runtime, as in: apt install default-jre-headless",
        )
    return OfficialMeteor(archive, java)


@dataclass(frozen=True, slots=True)
class OfficialMeteor:
    """METEOR's own program.

    Args:
        archive: its Java archive.
        java: the Java runtime to start.
        options: what to align by; the default is everything, with METEOR's own normalisation.
        time_limit_s: how long one call may take; by default 120 s and 0.05 s for each pair.
    """

    archive: Path
    java: str
    options: tuple[str, ...] = ("-norm",)
    time_limit_s: float | None = None

    def statistics(
        self, hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
    ) -> NDArray[np.int64]:
        """Align each hypothesis with its best reference.

        Args:
            hypotheses: tokens of each hypothesis, [n].
            references: tokens of each of its references, [n][at least 1].

        Returns:
            The 23 counts of each alignment, [n, 23]; see `meteor.FIELDS`.

        Raises:
            SegueError: the program could not be started, took too long, or died.
        """
        n = len(hypotheses)
        if n == 0:
            return np.zeros((0, len(FIELDS)), dtype=np.int64)
        lines = [
            " ||| ".join(["SCORE", *map(_joined, refs), _joined(hypothesis)])
            for hypothesis, refs in zip(hypotheses, references, strict=True)
        ]
        limit = self.time_limit_s or _START_S + _PAIR_S * n
        command = [self.java, "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(self.archive)]
        command += ["-", "-", "-stdio", "-l", "en", *self.options]
        try:
            done = subprocess.run(  # noqa: S603  the archive of an installed package
                command,
                input="\n".join(lines) + "\n",
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=limit,
                check=False,
                cwd=os.fspath(self.archive.parent),  # where it looks for its tables
            )
        except subprocess.TimeoutExpired:
            raise SegueError(
                f"METEOR 1.5 did not answer within {limit:.0f} s for {n} captions",
                where=self.archive,
                advice="Is the machine out of memory? It needs 1.2 GB. Score without it",
            ) from None
        except OSError as error:
            raise SegueError(f"cannot start '{self.java}': {error}", where=self.archive) from error
        return _counts(done.stdout, n, done.returncode, done.stderr, self.archive)


def _joined(tokens: Sequence[str]) -> str:
    # Three bars separate fields; a token of bars would shift them.
    return " ".join(" ".join(token.replace("|||", " ") for token in tokens).split())


def _counts(text: str, n: int, code: int, complaint: str, where: Path) -> NDArray[np.int64]:
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if len(rows) != n or any(len(row) != len(FIELDS) for row in rows):
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        raise SegueError(
            f"METEOR 1.5 answered {len(rows)} of {n} captions, code {code}: {last[0]}",
            where=where,
            advice="Check that Java works: java -version",
        )
    return np.array([[round(float(value)) for value in row] for row in rows], dtype=np.int64)
