"""Timelines for the tests of the exporters: small, exact, and with hostile names."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from segue.score.timeline import Cue, Marker, Source, Timeline

F = Fraction
RATES = {
    "23.976": F(24000, 1001),
    "25": F(25),
    "29.97df": F(30000, 1001),
    "60": F(60),
    "12.5": F(25, 2),
}
PAL = F(25)
HOSTILE = 'A "B" & <C>\n%20 👩‍👩‍👧 \udcff=x'


def track(name: str = "Song", **changes: Any) -> Source:
    """A stereo track of two minutes."""
    values: dict[str, Any] = {
        "path": f"/music/{name}.flac",
        "name": name,
        "duration_s": F(120),
        "audio_channels": 2,
        "audio_rate_hz": 44100,
        "tags": {"artist": "Somebody", "licence": "CC BY 4.0"},
    }
    return Source(**{**values, **changes})


def picture(rate: Fraction = PAL, **changes: Any) -> Source:
    """A film of a minute with stereo sound."""
    values: dict[str, Any] = {
        "path": "/films/the film.mp4",
        "name": "the film",
        "duration_s": F(60),
        "rate": rate,
        "width": 1920,
        "height": 1080,
        "audio_channels": 2,
        "audio_rate_hz": 48000,
    }
    return Source(**{**values, **changes})


def cue(start: Any, end: Any, **changes: Any) -> Cue:
    """A cue of a track, from second `start` to `end` of the film."""
    values: dict[str, Any] = {"source": track(), "source_start_s": F(10)}
    return Cue(**{**values, "start_s": F(start), "end_s": F(end), **changes})


def film(rate: Fraction = PAL, **changes: Any) -> Timeline:
    """Three tracks: fade in, crossfade, a gap, fade in and fade out; ducked once."""
    values: dict[str, Any] = {
        "name": "The film",
        "rate": rate,
        "duration_s": F(60),
        "picture": picture(rate, start_timecode="01:00:00;00" if rate == F(30000, 1001) else ""),
        "cues": (
            cue(0, "21.3", source=track("One"), fade_in_s=F(1), fade_out_s=F(1), gain_db=-6.0),
            cue("20.3", 40, source=track("Two"), source_start_s=F("7.77"), fade_in_s=F(1)),
            cue("42.5", 60, source=track("One"), fade_in_s=F("0.5"), fade_out_s=F(2)),
        ),
        "markers": (
            Marker(start_s=F(0), end_s=F(20), name="Segment 0", note="alignment 0.8"),
            Marker(start_s=F(20), end_s=F(60), name="Segment 1", note="theme 0.2"),
        ),
        "duck": ((F(5), 0.0), (F("5.2"), -12.0), (F(9), -12.0), (F(10), 0.0)),
        "stems": {"music": "/out/stems/music.wav", "original": "/out/stems/original.wav"},
    }
    return Timeline(**{**values, **changes})


ODD_FILMS = {
    "no cue": film(cues=(), duck=()),
    "one cue": film(cues=(cue(0, 60),)),
    "no original sound": film(picture=picture(audio_channels=0, audio_rate_hz=0)),
    "hostile names": film(
        name=HOSTILE,
        picture=picture(name=HOSTILE, path=f"/films/{HOSTILE}.mp4"),
        cues=(
            cue(0, 30, source=track(HOSTILE, tags={"title": HOSTILE, "artist": '=cmd|"!A1'})),
            cue(30, 60, source=track("-2+3" + HOSTILE)),
        ),
        markers=(Marker(start_s=F(0), end_s=F(60), name=HOSTILE, note=HOSTILE),),
    ),
    "adjacent crossfades": film(
        cues=(
            cue(0, 20, source=track("One"), fade_out_s=F(4)),
            cue(16, 24, source=track("Two"), fade_in_s=F(4), fade_out_s=F(4)),
            cue(20, 60, source=track("Three"), fade_in_s=F(4)),
        )
    ),
    "three at once": film(
        cues=(
            cue(0, 30, source=track("One"), fade_out_s=F(10)),
            cue(20, 50, source=track("Two"), fade_in_s=F(10), fade_out_s=F(10)),
            cue(25, 60, source=track("Three"), fade_in_s=F(10)),
        )
    ),
    "one inside another": film(
        cues=(cue(0, 60, source=track("One")), cue(10, 20, source=track("Two"), fade_in_s=F(1)))
    ),
    "touching fades": film(
        cues=(
            cue(0, 30, source=track("One"), fade_out_s=F(2)),
            cue(30, 60, source=track("Two"), fade_in_s=F(2)),
        )
    ),
    "gaps": film(cues=(cue(5, 10), cue(20, 30), cue("59.5", 61))),
    "short cues": film(cues=(cue(0, "0.001"), cue(1, "1.04", fade_in_s=F(3)))),
    "long crossfade": film(
        cues=(
            cue(0, 40, source=track("One"), fade_out_s=F(20)),
            cue(20, 60, source=track("Two"), fade_in_s=F(20), fade_out_s=F(15)),
        )
    ),
    "mono and 5.1": film(
        picture=picture(audio_channels=6), cues=(cue(0, 60, source=track(audio_channels=1)),)
    ),
    "click guards": film(
        RATES["60"],
        cues=(
            cue(0, 20, source=track("One"), fade_in_s=F("0.05"), fade_out_s=F("0.05")),
            cue("19.95", 40, source=track("Two"), fade_in_s=F("0.05"), fade_out_s=F("0.05")),
        ),
        duck=(),
    ),
    "loud": film(cues=(cue(0, 60, gain_db=20.0),)),
    "portrait": film(picture=picture(width=1080, height=1920)),
    "bad timecode": film(picture=picture(start_timecode="25:61:00:99")),
    "start timecode": film(picture=picture(start_timecode="10:00:00:12")),
    "before midnight": film(picture=picture(start_timecode="23:59:50:00")),
    "strange rate": film(rate=F(2941, 100), picture=picture(F(2941, 100))),
    "fast": film(rate=F(120), picture=picture(F(120))),
    "slow": film(rate=F(1), picture=picture(F(1))),
}
