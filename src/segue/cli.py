"""The command `segue`: a table of commands, each imported when it is used."""

from __future__ import annotations

import os
import sys

import click

from segue import __version__
from segue.core.options import LazyGroup, run

__all__ = ["COMMANDS", "main", "root"]

COMMANDS = {
    "score": ("segue.score.cli:command", "Choose music for a video and mix it in."),
    "soundtrack": ("segue.tasks.soundtrack.cli:group", "Music for a video, segment by segment."),
    "melody": ("segue.tasks.melody.cli:group", "Melodies by a note RNN that learns theory."),
    "playlist": ("segue.tasks.playlist.cli:group", "What to play next, and whole playlists."),
    "captioning": (
        "segue.tasks.captioning.cli:group",
        "Captions of a film from picture and sound.",
    ),
    "audio": ("segue.tasks.audio.cli:group", "Music from text, tuned by what listeners hear."),
    "doctor": ("segue.doctor:command", "Check this installation and say what is missing."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="segue")
def root() -> None:
    """Music for the moving image: choose it, mix it, and hand an editor a timeline.

    \b
    Score a film with your own music:
        segue score holiday.mp4 --library ~/Music/film --out scored
    """  # noqa: D301  click reads the backspace as "keep these lines"


def main() -> None:
    """Run the command line and exit with its code."""
    code = run(root)
    if code > 128:  # interrupted: threads may still be decoding, and nothing waits for them
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
