"""Find the features of videos in folders, and count what is missing or cannot be used.

Only headers are read, so ten thousand videos take about a second. What a file of features is called
is told by `folder_features`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from segue.core.errors import DataError, UsageError
from segue.tasks.captioning.data.account import Account
from segue.tasks.captioning.data.config import PrepareConfig
from segue.tasks.captioning.data.folder_features import FeatureIndex, VideoFiles
from segue.tasks.captioning.data.npy_files import Header, read_header

__all__ = ["index_features"]

_VISUAL = (("_rgb", "_flow"), ("_visual",), ("_rgb",))
_AUDIO = (("_vggish",), ("_audio",))
_PLAIN = (("",),)
"""Ends of the names of the files of one video; the first that are all there are used."""
_PREFIX = "v_"
"""ActivityNet's prefix of an id, which some extractors leave out."""

Found = dict[str, tuple[tuple[str, ...], list[Header]]]
"""Video -> its files and their headers."""


def index_features(
    folders: Sequence[Path],
    videos: Iterable[str],
    config: PrepareConfig,
    account: Account,
    advance: Callable[[int], None] = lambda n: None,
) -> FeatureIndex:
    """Return which videos have which features.

    Args:
        folders: feature folders; of two files of one name, that of the earlier folder is used.
        videos: names of the videos.
        config: widths, and how streams are joined.
        account: counts videos without features, and files that cannot be used.
        advance: called with the number of videos just looked at.

    Raises:
        UsageError: no folder is given.
        DataError: a folder is missing, or no video has any feature.
    """
    files = _names(folders)
    before = set(account.dropped)
    order = list(dict.fromkeys(videos))
    visual: Found = {}
    audio: Found = {}
    visual_ends = _VISUAL + (_PLAIN if config.plain_names == "visual" else ())
    audio_ends = _AUDIO + (_PLAIN if config.plain_names == "audio" else ())
    for video in order:
        _take(video, visual_ends, "visual", files, folders, account, visual)
        _take(video, audio_ends, "audio", files, folders, account, audio)
        advance(1)
    visual_width = _chosen("visual", config.visual_width, visual, account)
    audio_width = _chosen("audio", config.audio_width, audio, account)
    if not visual and not audio:
        raise DataError(
            f"no usable features of any of the {len(order):,} videos, {order[0]} the first"
            + (f"; left out: {account.told(before)}" if set(account.dropped) - before else ""),
            where=", ".join(map(str, folders)),
            advice=f"Expected are files such as {order[0]}_rgb.npy with {order[0]}_flow.npy, "
            f"{order[0]}_visual.npy, {order[0]}_vggish.npy",
        )
    for modality, found in (("visual", visual), ("audio", audio)):
        if found:  # a data set without any sound is no fault
            for video in order:
                if video not in found:
                    account.note(f"a video without usable {modality} features", video)
    n_streams = max((len(names) for names, _ in visual.values()), default=1)
    return FeatureIndex(
        folders=tuple(folder.resolve() for folder in folders),
        fusion=config.fusion,
        stream_width=visual_width,
        visual_width=visual_width * (n_streams if config.fusion == "concatenate" else 1),
        audio_width=audio_width,
        visual={v: VideoFiles(names, heads[0].rows) for v, (names, heads) in visual.items()},
        audio={v: VideoFiles(names, heads[0].rows) for v, (names, heads) in audio.items()},
    )


def _names(folders: Sequence[Path]) -> dict[str, str]:
    """Return name of a file -> number of its folder and name, as `VideoFiles` writes it."""
    if not folders:
        raise UsageError(
            "no folder of features is given",
            advice="Give one with --features DIR; `segue captioning features VIDEO... --out DIR` "
            "makes one",
        )
    names: dict[str, str] = {}
    for number, folder in enumerate(folders):
        if not folder.is_dir():
            raise DataError("there is no such folder of features", where=folder)
        for path in sorted(folder.iterdir()):
            if path.suffix == ".npy":
                names.setdefault(path.name, f"{number}/{path.name}")
    return names


def _take(
    video: str,
    choices: Sequence[tuple[str, ...]],
    modality: str,
    files: dict[str, str],
    folders: Sequence[Path],
    account: Account,
    found: Found,
) -> None:
    """Put the files of one modality of a video into `found`, if they can be used."""
    names = _files_of(video, choices, files)
    if names is None:
        return
    headers = []
    for name in names:
        number, _, file = name.partition("/")
        path = folders[int(number)] / file
        try:
            header = read_header(path)
        except DataError as error:
            kind = error.what.partition(":")[0]
            account.drop(f"a file of {modality} features that {kind}", str(path))
            return
        if not header.rows or not header.width:
            account.drop(f"a file of {modality} features without rows", str(path))
            return
        headers.append(header)
    if len({(header.rows, header.width) for header in headers}) > 1:
        told = " and ".join(f"{h.rows} x {h.width}" for h in headers)
        account.drop("streams of unequal shape", f"{video}: {told}")
        return
    found[video] = names, headers


def _files_of(
    video: str, choices: Sequence[tuple[str, ...]], files: dict[str, str]
) -> tuple[str, ...] | None:
    names = [video]
    if video.startswith(_PREFIX):
        names.append(video.removeprefix(_PREFIX))
    for ends in choices:
        for name in names:
            wanted = [f"{name}{end}.npy" for end in ends]
            if all(each in files for each in wanted):
                return tuple(files[each] for each in wanted)
    return None


def _chosen(modality: str, wanted: int | None, found: Found, account: Account) -> int:
    """Leave out files of another width than wanted, or than most; return the width."""
    if not found:
        return 0
    # a video with one stream where others have two cannot be concatenated with them
    widths: Counter[Any] = Counter((heads[0].width, len(heads)) for _, heads in found.values())
    most = max(widths.items(), key=lambda item: (item[1], item[0]))[0]
    width = wanted or most[0]
    streams = max((n for (w, n) in widths if w == width), default=1, key=lambda n: widths[width, n])
    for video in list(found):
        names, heads = found[video]
        where = ", ".join(name.partition("/")[2] for name in names)
        if heads[0].width != width:
            account.drop(
                f"{modality} features of another width than {width}",
                f"{where}: width {heads[0].width}",
            )
        elif len(heads) != streams:
            account.drop(f"{modality} features in another number of files than {streams}", where)
        else:
            continue
        del found[video]
    return width if found else 0
