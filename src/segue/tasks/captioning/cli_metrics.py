"""`segue captioning score-file`: captions of any program, judged as published figures are."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["score_file"]


@click.command(name="score-file", no_args_is_help=True)
@click.argument("predictions", metavar="PREDICTIONS.json", type=click.Path(path_type=Path))
@click.option(
    "--references",
    multiple=True,
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="References of one annotator; repeat it for several.",
)
@click.option(
    "--tiou",
    "tious",
    multiple=True,
    type=click.FloatRange(0, 1),
    help="Threshold of the overlap; may be repeated (default: see above).",
)
@click.option(
    "--max-proposals",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Predictions of a video that count.",
)
@click.option(
    "--official/--no-official",
    default=True,
    help="Whether to start METEOR 1.5 itself, which needs Java (default: yes).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def score_file(
    predictions: Path,
    references: tuple[Path, ...],
    tious: tuple[float, ...],
    max_proposals: int,
    official: bool,
    as_json: bool,
) -> None:
    """Score captions by ActivityNet's protocol: BLEU, METEOR, ROUGE-L, CIDEr, recall, precision.

    PREDICTIONS.json is a submission: {"results": {video: [{"sentence", "timestamp"}]}}. References
    are JSON as published with ActivityNet Captions; either may be packed with gzip.

    Where every predicted segment is one of the references' own, the overlap must reach .5; else
    scores at .3, .5, .7 and .9 are averaged. METEOR 1.5 needs `pip install 'segue[eval]'` and Java;
    "meteor (exact+stem)" does without synonyms and paraphrases and is not comparable with it.

    \b
    segue captioning score-file results.json --references val_1.json --references val_2.json
    """  # noqa: D301  click reads the backspace as "keep these lines"
    from segue.core.options import print_json
    from segue.tasks.captioning.metrics.score_file import score_file as run

    found = run(
        predictions, references, tious=tious, max_proposals=max_proposals, official=official
    )
    if as_json:
        print_json(
            {
                **found.table.to_dict(),
                "tious": list(found.scores.tious),
                "missing": found.scores.missing,
                "notes": list(found.notes),
            }
        )
        return
    found.table.print()
    sys.stdout.writelines(f"{note}\n" for note in found.notes)
