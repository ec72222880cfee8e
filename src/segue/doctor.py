"""`segue doctor`: what is installed, what is found, and one line of advice for what is not.

A check is "ok", "missing" (something optional is not there; the advice says what it would give) or
"broken" (something that Segue needs). The exit code is 1 only when a check is broken. A check that
fails in an unexpected way is itself reported as broken: the doctor never ends in a traceback.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import click

from segue import __version__
from segue.core.errors import SegueError, printable
from segue.core.files import cache_dir
from segue.core.options import print_json
from segue.core.versions import LIBRARIES, library_version

__all__ = ["ENCODERS", "FILTERS", "Check", "command", "examine"]

State = Literal["ok", "missing", "broken"]

FILTERS = (
    "abuffer", "abuffersink", "aformat", "alimiter", "amix", "aresample", "asplit", "buffersink",
    "ebur128", "format", "join", "pan", "scale", "scdet", "sidechaincompress",
)  # fmt: skip
"""FFmpeg filters that the media modules use; a test compares this list with them."""

ENCODERS = ("aac", "libopus", "pcm_s16le")
"""FFmpeg encoders that the media modules use."""

_IMPORTED = ("av", "numpy", "soundfile", "soxr")
"""Libraries with binary parts that are quick to load, so that a broken one is noticed."""

_MODELS = {
    "clap": ("config.json", "a CLAP model (laion/clap-htsat-unfused): music by its sound"),
    "clip": ("config.json", "a CLIP or SigLIP model: scenes by their pictures"),
    "precomputed": ("", "video_embs and music_embs, as ImageBind pipelines write them"),
}

_ADVICE_INSTALL = "Run `make setup`, or `pip install --force-reinstall segue`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check."""

    group: str
    name: str
    state: State
    detail: str
    advice: str = ""


def examine() -> list[Check]:
    """Run all checks; never raises."""
    found: list[Check] = []
    groups: dict[str, Callable[[], Iterator[Check]]] = {
        "program": _program,
        "libraries": _libraries,
        "ffmpeg": _ffmpeg,
        "music": _music,
        "extras": _extras,
        "models": _models,
        "machine": _machine,
    }
    for name, checks in groups.items():
        try:
            found += checks()
        except Exception as error:
            found.append(
                Check(
                    group=name,
                    name=name,
                    state="broken",
                    detail=printable(f"{type(error).__name__}: {error}"),
                    advice=_ADVICE_INSTALL,
                )
            )
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(as_json: bool) -> int:
    """Check this installation and say what is missing."""
    checks = examine()
    broken = [check for check in checks if check.state == "broken"]
    if as_json:
        print_json({"ok": not broken, "checks": [asdict(check) for check in checks]})
        return 1 if broken else 0
    marks = {"ok": "ok", "missing": "--", "broken": "!!"}
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            click.echo(f"\n{group}" if check is not checks[0] else group)
        click.echo(f"  {marks[check.state]} {check.name:<20} {check.detail}".rstrip())
        if check.advice:
            click.echo(f"       {check.advice}")
    optional = sum(check.state == "missing" for check in checks)
    click.echo(
        f"\n{len(broken)} broken (!!), {optional} optional things not there (--)"
        if broken or optional
        else "\nEverything is there."
    )
    return 1 if broken else 0


def _program() -> Iterator[Check]:
    yield Check(group="program", name="segue", state="ok", detail=__version__)
    yield Check(group="program", name="python", state="ok", detail=platform.python_version())
    detail = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Check(group="program", name="system", state="ok", detail=detail)


def _libraries() -> Iterator[Check]:
    for name in LIBRARIES:
        version = library_version(name)
        try:
            if version and name in _IMPORTED:
                importlib.import_module(name)
            problem = "" if version else "not installed"
        except Exception as error:
            problem = f"{version} cannot be loaded: {printable(error)}"
        yield Check(
            group="libraries",
            name=name,
            state="broken" if problem else "ok",
            detail=problem or str(version),
            advice=_ADVICE_INSTALL if problem else "",
        )


def _ffmpeg() -> Iterator[Check]:
    import av
    import av.filter

    for name, version in sorted(av.library_versions.items()):
        detail = ".".join(map(str, version))
        yield Check(group="ffmpeg", name=name, state="ok", detail=detail)
    wanted = {
        "filters": (FILTERS, av.filter.filters_available),
        "encoders": (ENCODERS, [name for name in ENCODERS if _encodes(name)]),
    }
    for name, (needed, available) in wanted.items():
        absent = sorted(set(needed) - set(available))
        yield Check(
            group="ffmpeg",
            name=name,
            state="broken" if absent else "ok",
            detail=f"without {', '.join(absent)}" if absent else f"all {len(needed)} needed",
            advice="Install PyAV from its wheel: pip install --force-reinstall av"
            if absent
            else "",
        )


def _encodes(name: str) -> bool:
    from av.codec import Codec

    try:
        return bool(Codec(name, "w").is_encoder)
    except ValueError:
        return False


def _music() -> Iterator[Check]:
    """Check what reads and plays notes; without a SoundFont there still is a plain synthesiser."""
    from segue.music.synth import make_renderer
    from segue.music.synth.bank import read_bank

    def check(name: str, state: State, detail: str, advice: str = "") -> Check:
        return Check(group="music", name=name, state=state, detail=detail, advice=advice)

    renderer = make_renderer().name
    plain = renderer == "additive"
    library = library_version("tinysoundfont")
    version = f" (tinysoundfont {library})" if renderer == "soundfont" and library else ""
    advice = "For sampled instruments: pip install --no-deps tinysoundfont" if plain else ""
    yield check("synthesiser", "missing" if plain else "ok", f"{renderer}{version}", advice)
    try:
        bank = read_bank()
        yield check("bank", "ok", f"{printable(bank.path)}, {len(bank.presets)} presets")
    except SegueError as error:
        advice = "For a General MIDI bank: pip install --force-reinstall pretty_midi"
        yield check("bank", "missing", str(error.what), advice)
    try:
        importlib.import_module("symusic")
        yield check("symusic", "ok", f"{library_version('symusic')}: MIDI and ABC files")
    except Exception as error:
        detail = f"cannot be loaded: {printable(error)}"
        yield check("symusic", "broken", detail, _ADVICE_INSTALL)
    found = library_version("music21")
    detail = f"{found}: its corpus of tunes" if found else "its corpus of tunes is not there"
    advice = "" if found else "Optional, to learn from it: pip install 'segue[corpus]'"
    yield check("music21", "ok" if found else "missing", detail, advice)


def _extras() -> Iterator[Check]:
    for extra, packages in sorted(_extra_packages().items()):
        absent = [package for package in packages if library_version(package) is None]
        yield Check(
            group="extras",
            name=extra,
            state="missing" if absent else "ok",
            detail=f"without {', '.join(absent)}" if absent else "installed",
            advice=f"pip install 'segue[{extra}]'" if absent else "",
        )


def _extra_packages() -> dict[str, list[str]]:
    """Read extra -> packages from what was installed, so that no list can go stale."""
    extras: dict[str, list[str]] = {}
    for line in metadata.requires("segue") or []:
        found = re.fullmatch(r"([A-Za-z0-9._-]+).*;\s*extra\s*==\s*['\"](.+)['\"]", line)
        if found:
            extras.setdefault(found[2], []).append(found[1])
    return extras


def _models() -> Iterator[Check]:
    for name, (needed, what) in _MODELS.items():
        folder = cache_dir() / "models" / name
        there = (folder / needed).exists()
        yield Check(
            group="models",
            name=name,
            state="ok" if there else "missing",
            detail=f"{'found in' if there else 'not in'} {printable(folder)}",
            advice="" if there else f"Optional, copy there: {what}",
        )


def _machine() -> Iterator[Check]:
    def check(name: str, detail: str) -> Check:
        return Check(group="machine", name=name, state="ok", detail=detail)

    yield check("cores", f"{_cores()} usable of {os.cpu_count()}")
    yield check("memory", _memory())
    yield check("gpu", _gpu())
    folder = cache_dir()
    free = shutil.disk_usage(folder).free
    yield check(
        "cache", f"{printable(folder)}: {_megabytes(_size(folder))}, {_megabytes(free)} free"
    )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _memory() -> str:
    try:
        return _megabytes(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return "unknown"


def _gpu() -> str:
    try:
        torch: Any = importlib.import_module("torch")
    except Exception as error:  # reported again as a library only if it is not installed
        return f"unknown: torch cannot be loaded ({printable(error)})"
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "none that torch can use; nothing here needs one"


def _size(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            except OSError:  # removed meanwhile
                continue
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
