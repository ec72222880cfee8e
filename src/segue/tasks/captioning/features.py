"""Features of films, as .npy files that `prepare` and `caption` read.

| backbone | picture, a row for each 2.56 s | sound, a row for each 0.96 s | needs |
|---|---|---|---|
| embedded | 82 numbers of light, colour, motion, mood | 67 of timbre and pitch | nothing |
| a CLIP or SigLIP folder | the model's vector of a picture | as embedded | extra `models` |
| a CLAP folder | as embedded | the model's vector, a row for each 4.8 s | extra `models` |

Windows are about as long as those of I3D and VGGish. For each film there is `<name>_visual.npy`
[S_v, D_v] and, where it has sound, `<name>_audio.npy` [S_a, D_a], float32; `manifest.json` says
what was taken how. The same film and backbone are not analysed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.digests import known_sha256
from segue.core.errors import DataError, MediaError, SegueError, UsageError
from segue.core.files import atomic_path, write_json
from segue.core.progress import Advance, silent
from segue.media import films
from segue.media.source import probe
from segue.tasks.captioning.data.backbones import PictureBackbone, SoundBackbone, kind_of
from segue.tasks.captioning.data.embedded_features import picture_rows, sound_rows, windows
from segue.tasks.captioning.data.feature_manifest import KIND, MANIFEST, read_manifest

__all__ = [
    "Extracted",
    "FilmFeatures",
    "extract_features",
    "feature_kinds",
    "film_features",
]

Floats = NDArray[np.float32]

_VERSION = 1
"""To be raised whenever a change of the code changes any number of the embedded features."""
_VISUAL_S, _AUDIO_S, _CLAP_S = 2.56, 0.96, 4.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilmFeatures:
    """Features of one film."""

    duration_s: float
    """Length of the picture."""
    visual: Floats
    """[S_v, D_v]."""
    audio: Floats | None
    """[S_a, D_a]; None without sound."""


@dataclass(slots=True, kw_only=True)
class Extracted:
    """What `extract_features` made."""

    folder: str
    films: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> file, SHA-256, duration, rows and widths."""
    reused: list[str] = field(default_factory=list)
    """Names of the films that were there already."""
    failed: dict[str, str] = field(default_factory=dict)
    """File -> why there are no features of it."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return asdict(self)


class _Extractor:
    """Makes the features of films with one choice of backbones."""

    def __init__(self, backbones: Sequence[str]) -> None:
        self.picture: PictureBackbone | None = None
        self.sound: SoundBackbone | None = None
        self.settings: dict[str, str] = {
            "visual": f"embedded {_VERSION}",
            "audio": f"embedded {_VERSION}",
        }
        for backbone in backbones:
            kind, folder = kind_of(backbone)
            if kind == "clip":
                self.picture = PictureBackbone(folder)
                self.settings["visual"] = f"clip {_weights(folder)}"
            else:
                self.sound = SoundBackbone(folder)
                self.settings["audio"] = f"clap {_weights(folder)}"

    def __call__(self, video: Path, advance: Advance) -> FilmFeatures:
        info = probe(video)
        if info.video is None:
            raise MediaError(
                "there is no picture in it, only sound", where=video, advice="Give a film"
            )
        film = films.watch(video, advance)
        duration_s = float(film.picture.duration_s)
        limits_s = windows(duration_s, _VISUAL_S)
        if self.picture is None:
            visual = picture_rows(film.picture, limits_s)
        else:
            visual = self.picture.rows(video, limits_s)
        audio = None
        if info.audio is not None and self.sound is None:
            audio = sound_rows(video, windows(duration_s, _AUDIO_S))
        elif info.audio is not None and self.sound is not None:
            audio = self.sound.rows(video, windows(duration_s, _CLAP_S))
        return FilmFeatures(duration_s=duration_s, visual=visual, audio=audio)


def film_features(
    video: Path, backbones: Sequence[str] = (), *, advance: Advance = silent
) -> FilmFeatures:
    """Return the features of one film; see the module.

    Args:
        video: a file with a picture, of any codec; sound is not needed.
        backbones: `clip`, `clap`, or folders of such models; none: the embedded features.
        advance: called with the seconds of picture just analysed.

    Raises:
        MediaError: the file cannot be read, or has no picture.
        MissingModel, MissingExtra, DataError, UnknownName: of a backbone.
    """
    return _Extractor(backbones)(Path(video), advance)


def feature_kinds(backbones: Sequence[str] = ()) -> dict[str, str]:
    """Return what the features of some backbones are: `visual` and `audio`, name and version.

    Raises:
        MissingModel, MissingExtra, DataError, UnknownName: of a backbone.
    """
    return dict(_Extractor(backbones).settings)


def extract_features(
    videos: Sequence[Path],
    out: Path,
    backbones: Sequence[str] = (),
    *,
    advance: Advance = silent,
) -> Extracted:
    """Write the features of films into a folder; see the module.

    Args:
        videos: files with a picture. The name of a film is that of its file without its ending.
        out: a new folder, or one that was made with the same backbones.
        backbones: as for `film_features`.
        advance: called with the number of films just done.

    Raises:
        MediaError, DataError: none of the films gave features.
        UsageError: no film is given, two have one name, or `out` holds other features.
        MissingModel, MissingExtra, UnknownName: of a backbone.
    """
    named = _named(videos)
    extractor = _Extractor(backbones)
    manifest = _manifest(out, extractor.settings)
    report = Extracted(folder=str(out))
    error: SegueError | None = None
    for name, video in named.items():
        try:
            digest = known_sha256(video)
            there = manifest["films"].get(name)
            if there and there["sha256"] == digest and _is_there(out, name, there):
                report.reused.append(name)
            else:
                found = extractor(video, silent)
                manifest["films"][name] = _write(out, name, video, digest, found)
                write_json(out / MANIFEST, manifest)
            report.films[name] = manifest["films"][name]
        except OSError as problem:
            error = MediaError(f"cannot be read: {problem.strerror or problem}", where=video)
            report.failed[str(video)] = str(error)
        except (MediaError, DataError) as problem:
            error = problem
            report.failed[str(video)] = str(problem)
        advance(1)
    if not report.films and error is not None:
        raise error
    return report


def _named(videos: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for video in map(Path, videos):
        if video.stem in named:
            raise UsageError(
                f"two films are called {video.stem}: {named[video.stem]} and {video}",
                advice="Rename one, or give each a folder of its own",
            )
        named[video.stem] = video
    if not named:
        raise UsageError("no film is given", advice="segue captioning features VIDEO... --out DIR")
    return named


def _manifest(out: Path, settings: dict[str, str]) -> dict[str, Any]:
    """Return the manifest of a folder, an empty one for a new folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return {"kind": KIND, "settings": settings, "films": {}}
    if not out.is_dir():
        raise UsageError("is not a folder", where=out, advice="Choose another --out")
    found = read_manifest(out)
    if not isinstance(found.get("films"), dict):
        raise UsageError(
            "holds other things than features of films", where=out, advice="Choose a new --out"
        )
    if found.get("settings") != settings:
        raise UsageError(
            f"holds features of another kind: {found.get('settings')}, not {settings}",
            where=out,
            advice="Choose a new --out",
        )
    return found


def _write(out: Path, name: str, video: Path, digest: str, found: FilmFeatures) -> dict[str, Any]:
    arrays = {"visual": found.visual, "audio": found.audio}
    row: dict[str, Any] = {"file": video.name, "sha256": digest, "duration_s": found.duration_s}
    for modality, values in arrays.items():
        path = out / f"{name}_{modality}.npy"
        if values is None:
            path.unlink(missing_ok=True)
            row[modality] = None
            continue
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        row[modality] = list(values.shape)
    return row


def _is_there(out: Path, name: str, row: dict[str, Any]) -> bool:
    return all(
        row.get(modality) is None or (out / f"{name}_{modality}.npy").is_file()
        for modality in ("visual", "audio")
    )


def _weights(folder: Path) -> str:
    """Return what tells one model from another: the SHA-256 of its weights."""
    files = sorted(folder.glob("*.safetensors"))
    return " ".join(known_sha256(file)[:16] for file in files)
