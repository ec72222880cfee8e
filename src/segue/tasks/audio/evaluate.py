"""Base model, tuned models and baselines side by side, by listeners that no reward has used.

All players get the same prompts and start from the same noise. Prompts come in kinds that lead from
what tuning has asked for to what no training caption holds (`prompt_sets`), and each kind has its
own table. Guidance is chosen on validation prompts, everything is reported on test prompts, and
what a tuned row says is the mean over its training runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.core.progress import Advance, silent
from segue.core.tables import EvaluationTable, Value
from segue.tasks.audio.contest import Contest, Keep, Shown
from segue.tasks.audio.evaluate_config import EvaluateConfig
from segue.tasks.audio.players import open_listeners

if TYPE_CHECKING:
    from segue.tasks.audio.data.prepared import Prepared
    from segue.tasks.audio.players import Listeners

__all__ = ["Evaluation", "evaluate"]


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """What `evaluate` found."""

    tables: dict[str, EvaluationTable]
    """Kind of prompts -> table."""
    over_runs: dict[str, dict[str, dict[str, Value]]]
    """Kind -> tuned row -> metric -> tuned minus base over training runs and prompts."""
    runs: dict[str, dict[str, list[dict[str, float]]]]
    """Kind -> row -> means of each of its training runs."""
    settings: dict[str, Any]
    """How clips were sampled, and what the baselines chose."""
    shown: list[Shown] = field(default_factory=list)
    rate_hz: int = 0
    notes: list[str] = field(default_factory=list)
    """What is missing, and why; what numbers rest on."""

    @property
    def table(self) -> EvaluationTable:
        """The main table."""
        return next(iter(self.tables.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values, the main table's own keys first."""
        return {
            **self.table.to_dict(),
            "kinds": {kind: table.to_dict() for kind, table in self.tables.items()},
            "over_runs": {
                kind: {
                    row: {name: [v.value, v.low, v.high] for name, v in metrics.items()}
                    for row, metrics in rows.items()
                }
                for kind, rows in self.over_runs.items()
            },
            "runs": self.runs,
            "settings": self.settings,
            "notes": self.notes,
        }


def evaluate(
    run: str | Path,
    config: EvaluateConfig | None = None,
    *,
    data: Prepared | None = None,
    listeners: Listeners | None = None,
    judge: str | Path | None = None,
    keep: Keep | None = None,
    advance: Advance = silent,
) -> Evaluation:
    """Compare everything there is in a run; see the module.

    Args:
        run: of `pretrain`, with its tuned runs in the folder `tuned`, or a name of shipped models.
        config: settings.
        data: prepared clips, for the row of real ones and for Fréchet distances.
        listeners: who listens; by default the run's own.
        judge: another run, or a folder of listeners, whose judge is taken.
        keep: gets every clip, as for a folder of files.
        advance: told the share of the work that is done.

    Raises:
        MissingModel: nothing plays there, or a listener is missing.
        DataError, RunError: a file is damaged, or an adapter is another model's.
        UsageError: settings that cannot be.
    """
    config = config or EvaluateConfig()
    ears = listeners or open_listeners(run)
    if judge is not None:
        ears = replace(ears, judge=open_listeners(judge).judge)
    contest = Contest(run, config, data, ears, keep, advance)
    contest.hold()
    return Evaluation(
        tables=contest.tables(),
        over_runs=contest.over_runs(),
        runs=contest.means(),
        settings=contest.facts(),
        shown=contest.shown(),
        rate_hz=contest.rate_hz,
        notes=contest.notes(),
    )
