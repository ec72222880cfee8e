"""A page to listen to: for each prompt the players side by side, with spectrograms and scores.

The page is one file that works offline and can be sent to somebody: sounds and pictures are inside.
It runs no script, and all text is escaped.
"""

from __future__ import annotations

import base64
import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import printable
from segue.core.files import atomic_write
from segue.core.tables import EvaluationTable

__all__ = ["Exhibit", "Take", "gallery", "spectrogram_png", "write_gallery"]

_SCALE = 2
"""Screen points of a mel band and of a pair of frames."""
_COLOURS = (
    (0.0, (6, 6, 20)), (0.25, (60, 18, 100)), (0.5, (150, 40, 110)), (0.75, (240, 110, 70)),
    (1.0, (252, 246, 190)),
)  # fmt: skip
"""From quiet to loud: dark to bright, so that it reads without colour as well."""
_RANGE = 0.02, 0.998
"""Quantiles of the spectrum at which the colours begin and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One player's clip."""

    player: str
    sound: NDArray[np.float32]
    """[T] in -1..1."""
    rate_hz: int
    mel: NDArray[np.floating]
    """[F, M] its log-mel spectrum."""
    scores: dict[str, Any] = field(default_factory=dict)
    """As `Heard.of_clip` says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One prompt and what players made of it, from the same noise."""

    prompt: str
    kind: str
    """As in "seen in training"."""
    seed: int
    takes: tuple[Take, ...]


def write_gallery(
    path: Path,
    exhibits: Sequence[Exhibit],
    *,
    title: str,
    table: EvaluationTable | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page; see `gallery`."""
    atomic_write(path, gallery(exhibits, title=title, table=table, notes=notes))


def gallery(
    exhibits: Sequence[Exhibit],
    *,
    title: str,
    table: EvaluationTable | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the page as text.

    Args:
        exhibits: in the order in which they are shown.
        title: of the page.
        table: shown above them.
        notes: sentences below the title.
    """
    said = "".join(f"<p>{_html(note)}</p>" for note in notes)
    shown = "\n".join(_exhibit(n, each) for n, each in enumerate(exhibits, 1))
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_html(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_html(title)}</h1>
{said}
{_table(table) if table else ""}
{shown}
</main>
</body>
</html>
"""


def spectrogram_png(mel: NDArray[np.floating]) -> bytes:
    """Return a picture of a log-mel spectrum [F, M]: time to the right, low notes at the bottom."""
    from PIL import Image

    values = np.asarray(mel, dtype=np.float64).T[::-1]
    low, high = np.quantile(values, _RANGE) if values.size else (0.0, 1.0)
    levels = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    picture = Image.fromarray(np.rint(255 * levels).astype(np.uint8))
    picture.putpalette(_palette())
    height, width = levels.shape
    picture = picture.resize((width * _SCALE // 2 or 1, height * _SCALE), Image.Resampling.NEAREST)
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=True)
    return written.getvalue()


def _exhibit(n: int, exhibit: Exhibit) -> str:
    takes = "\n".join(_take(take, exhibit.prompt) for take in exhibit.takes)
    return f"""<section>
<h2><small>{n}</small> <bdi>{_html(exhibit.prompt)}</bdi></h2>
<p class="sub">{_html(exhibit.kind)} · seed {exhibit.seed}</p>
<div class="takes">
{takes}
</div>
</section>"""


def _take(take: Take, prompt: str) -> str:
    picture = base64.b64encode(spectrogram_png(take.mel)).decode("ascii")
    sound = base64.b64encode(_wav(take.sound, take.rate_hz)).decode("ascii")
    rows = "".join(
        f'<tr><th scope="row">{_html(name)}</th><td>{value}</td></tr>'
        for name, value in _scores(take.scores)
    )
    seconds = len(take.sound) / take.rate_hz
    label = _html(f"{take.player}: {prompt}")
    return f"""<figure>
<figcaption>{_html(take.player)}</figcaption>
<img alt="Spectrogram of {label}, {seconds:.1f} s" src="data:image/png;base64,{picture}">
<audio controls preload="metadata" aria-label="{label}" src="data:audio/wav;base64,{sound}"></audio>
<table>{rows}</table>
</figure>"""


def _scores(scores: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and text of what there is to say of a clip."""
    said: list[tuple[str, str]] = []
    for name, label in (("mood", "mood, judge"), ("instrument", "instrument, judge")):
        heard = scores.get(name)
        if heard:
            wanted = heard.get("wanted")
            sign = "" if wanted is None else " ✓" if wanted == heard["heard"] else " ✗"
            kind = "" if wanted is None else "right" if wanted == heard["heard"] else "wrong"
            text = f"{_html(heard['heard'])} {_number(heard['probability'])}{sign}"
            said.append((label, f'<span class="{kind}">{text}</span>'))
    for name, label, digits in (
        ("p_target", "p(target)", 2), ("clap", "text and sound", 2), ("lufs", "LUFS", 1),
    ):  # fmt: skip
        if name in scores:
            said.append((label, _number(scores[name], digits)))
    if scores.get("silent"):
        said.append(("", "silent"))
    return said


def _table(table: EvaluationTable) -> str:
    names = table.metric_names
    head = "".join(f'<th scope="col">{_html(name)}</th>' for name in ("", *names))
    body = ""
    for row in table.rows:
        cells = "".join(
            f"<td>{_number(row.metrics[n].value, 3) if n in row.metrics else '–'}</td>"
            for n in names
        )
        body += f'<tr><th scope="row">{_html(row.model)}</th>{cells}</tr>'
    return f"""<div class="scroll" tabindex="0"><table class="rows">
<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def _wav(sound: NDArray[np.float32], rate_hz: int) -> bytes:
    """Return a WAV file of 16 bits, in memory."""
    samples: bytes = np.rint(np.clip(sound, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, rate_hz,
        2 * rate_hz, 2, 16, b"data", len(samples),
    )  # fmt: skip
    return head + samples


def _palette() -> list[int]:
    places = [at for at, _ in _COLOURS]
    each = [
        np.interp(np.linspace(0, 1, 256), places, [c[i] for _, c in _COLOURS]) for i in range(3)
    ]
    return [int(v) for v in np.rint(np.stack(each, axis=1)).ravel()]


def _html(text: object) -> str:
    return escape(printable(text), quote=True)


def _number(value: object, digits: int = 2) -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


_STYLE = """
:root{color-scheme:light dark;--page:#f7f6f3;--panel:#fff;--text:#1f1d1a;--muted:#625d55;
--line:#dfdbd3;--right:#1d7a43;--wrong:#a5402d}
@media (prefers-color-scheme:dark){:root{--page:#151413;--panel:#1e1d1b;--text:#f1efeb;
--muted:#aaa49a;--line:#3a3734;--right:#5cbd86;--wrong:#f08a74}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 20px 56px}
h1{font-size:28px;margin:0 0 8px}h2{font-size:18px;margin:0;overflow-wrap:anywhere}
h2 small,.sub{color:var(--muted)}p{margin:4px 0}
section{margin-top:32px}
.takes{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:14px;
margin-top:8px}
figure{margin:0;padding:12px;background:var(--panel);border:1px solid var(--line);
border-radius:10px}
figcaption{font-weight:600;margin-bottom:6px}
img{display:block;width:100%;height:128px;object-fit:fill;image-rendering:pixelated;
border-radius:6px}
audio{display:block;width:100%;margin:8px 0}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:400;color:var(--muted)}
td{text-align:right;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;margin-top:16px}.rows th,.rows td{padding:4px 10px;white-space:nowrap;
border-bottom:1px solid var(--line)}.rows thead th{text-align:right}
.right{color:var(--right)}.wrong{color:var(--wrong)}
"""
