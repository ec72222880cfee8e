"""`make demo`: make a sample film and a small library, and score one with the other.

Needs no file of yours: picture, sound and music are synthesised (and labelled so). The result is in
`demo-out/scored`; open `report.html` there first.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sample_film import make_film
from sample_library import make_library

from segue.cli import root
from segue.core.options import run


def main() -> int:
    """Make the sample if it is not there yet, score it, and return the exit code."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-out")
    film, library = folder / "sample-film.mp4", folder / "sample-library"
    if not film.exists():
        print("Making a sample film and a sample library (synthesised)...", file=sys.stderr)
        library.mkdir(parents=True, exist_ok=True)
        make_library(library)
        partial = film.with_name("unfinished.mp4")
        make_film(partial).rename(film)
    arguments = ["score", str(film), "--library", str(library), "--out", str(folder / "scored")]
    print("segue", *arguments, "--overwrite", file=sys.stderr)
    return run(root, [*arguments, "--overwrite"])


if __name__ == "__main__":
    sys.exit(main())
