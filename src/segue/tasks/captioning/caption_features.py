"""Features of one film that a captioner may read.

A film gives its own features, by the backbone that the captioner has learned from where that is at
hand; or they come from files. Either way they must be of the kind that the captioner has learned
from, as any other numbers would be read as if they were that kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingModel
from segue.core.progress import Advance, silent
from segue.tasks.captioning.data.feature_manifest import film_length_s, kinds_of
from segue.tasks.captioning.data.feature_source import Rows

if TYPE_CHECKING:
    from segue.tasks.captioning.models.stored import StoredCaptioner

__all__ = ["features_of"]

_ENDS = ("_visual", "_rgb", "_flow", "_audio", "_vggish")
"""Ends of the names of feature files, before .npy."""
_BACKBONES = {"clip", "clap"}


def features_of(
    source: Path,
    stored: StoredCaptioner,
    run: Path,
    backbones: Sequence[str] = (),
    *,
    advance: Advance = silent,
) -> tuple[str, Rows, float | None]:
    """Return the name of a film, the features that a captioner reads of it, and its length.

    The length is None where features come from files and nothing tells it.

    Args:
        source: a film, or one of its feature files; the others stand beside it.
        stored: the captioner.
        run: its folder, for messages.
        backbones: as for `features`; none: those that the captioner has learned from.
        advance: told the seconds of picture just analysed.

    Raises:
        MediaError: the film cannot be read, or has no picture.
        DataError: features of another kind than the captioner's.
        MissingModel: it has learned from a backbone that is not here.
    """
    if source.suffix == ".npy":
        return _from_files(source, stored, run)
    return _from_film(source, stored, run, backbones, advance)


def _from_film(
    video: Path,
    stored: StoredCaptioner,
    run: Path,
    backbones: Sequence[str],
    advance: Advance,
) -> tuple[str, Rows, float | None]:
    from segue.tasks.captioning.features import feature_kinds, film_features

    wanted = _learned(stored)
    _refuse_foreign(wanted, run)
    chosen = backbones or sorted({k.partition(" ")[0] for k in wanted.values()} & _BACKBONES)
    try:
        made = feature_kinds(chosen)
    except MissingModel as error:
        if backbones:
            raise
        raise MissingModel(
            f"this captioner has learned from {_told(wanted)}: {error.what}",
            where=error.where,
            advice="Give the folder of that model with --backbone",
        ) from None
    if other := [m for m, kind in wanted.items() if made.get(m) != kind]:
        modality = other[0]
        raise DataError(
            f"this captioner has learned from {modality} features '{wanted[modality]}', and those "
            f"of the film would be '{made.get(modality)}'",
            where=run,
            advice="Choose the same with --backbone, or give a file of such features",
        )
    found = film_features(video, chosen, advance=advance)
    rows = Rows(found.visual, found.audio)
    return video.stem, _readable(rows, stored, str(video)), found.duration_s


def _from_files(file: Path, stored: StoredCaptioner, run: Path) -> tuple[str, Rows, float | None]:
    from segue.tasks.captioning.data.account import Account
    from segue.tasks.captioning.data.config import PrepareConfig
    from segue.tasks.captioning.data.feature_index import index_features

    name = file.stem
    for end in _ENDS:
        name = name.removesuffix(end)
    if not file.is_file():
        raise DataError("there is no such file", where=file)
    folder = file.parent
    made, wanted = kinds_of([folder]), _learned(stored)
    for modality in made.keys() & wanted.keys():
        if made[modality] != wanted[modality]:
            raise DataError(
                f"these {modality} features are '{made[modality]}', and this captioner has learned "
                f"from '{wanted[modality]}'",
                where=folder,
            )
    account = Account()
    told = stored.facts.get("features") or {}
    reading = PrepareConfig.parse({n: told[n] for n in ("fusion", "plain_names") if n in told})
    index = index_features([folder], [name], reading, account)
    if account.dropped:
        raise DataError(account.told(), where=file)
    rows = Rows(index.read("visual", name), index.read("audio", name))
    return name, _readable(rows, stored, str(file)), film_length_s(folder, name)


def _readable(rows: Rows, stored: StoredCaptioner, where: str) -> Rows:
    """Return the rows that a captioner reads, their widths checked."""
    sizes = stored.network.config
    kept: dict[str, NDArray[np.float32] | None] = {}
    for modality, found, width in (
        ("visual", rows.visual, sizes.visual),
        ("audio", rows.audio, sizes.audio),
    ):
        kept[modality] = found
        unheard = width == 1 or sizes.modalities not in ("both", modality)
        if found is None or unheard:  # it has never seen this modality, so it must not now
            kept[modality] = None
        elif found.shape[1] != width:
            raise DataError(
                f"{modality} features of width {found.shape[1]}, and this captioner has learned "
                f"from such of width {width}",
                where=where,
                advice="Give features of the kind that it was trained on",
            )
    if kept["visual"] is None and kept["audio"] is None:
        raise DataError("has nothing that this captioner can see or hear", where=where)
    return Rows(kept["visual"], kept["audio"])


def _learned(stored: StoredCaptioner) -> dict[str, str]:
    """Return modality -> kind of the features that a captioner has learned to read."""
    kinds = (stored.facts.get("features") or {}).get("kinds", {})
    heard = stored.network.config.modalities
    return {str(m): str(k) for m, k in kinds.items() if heard in ("both", m)}


def _refuse_foreign(wanted: Mapping[str, str], run: Path) -> None:
    """Refuse a film where the captioner has learned from what no program here makes of films."""
    for modality, kind in wanted.items():
        if kind.partition(" ")[0] not in {"embedded", *_BACKBONES}:
            raise DataError(
                f"this captioner has learned from {modality} features '{kind}' made elsewhere, "
                "which cannot be made of a film here ('embedded', clip or clap can)",
                where=run,
                advice="Give a file of such features (.npy) instead of the film",
            )


def _told(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{modality} features '{kind}'" for modality, kind in kinds.items())
