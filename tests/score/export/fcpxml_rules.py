"""What Final Cut Pro demands of an FCPXML 1.10 file, as far as our files use the format.

A table of elements: allowed children in their order, required and optional attributes, and the
values of those that are enumerated; then the rules that no grammar states (references, frame
boundaries, lanes). Written from the published reference, for the subset that the exporter writes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Rule:
    children: tuple[str, ...] = ()
    """Names in their order; `*` after a name allows any number, `+` demands one, `?` allows one."""
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


def _rule(children: str, required: str, optional: str = "") -> Rule:
    return Rule(tuple(children.split()), frozenset(required.split()), frozenset(optional.split()))


RULES = {
    "fcpxml": _rule("resources? library", "version"),
    "resources": _rule("(format|asset)*", ""),
    "format": _rule("", "id", "name frameDuration width height colorSpace"),
    "asset": _rule(
        "media-rep+",
        "id",
        "name start duration hasVideo hasAudio format videoSources audioSources audioChannels "
        "audioRate",
    ),
    "media-rep": _rule("", "src", "kind sig"),
    "library": _rule("event+", "", "location"),
    "event": _rule("project+", "", "name uid"),
    "project": _rule("sequence", "", "name uid"),
    "sequence": _rule(
        "spine", "format", "duration tcStart tcFormat audioLayout audioRate renderFormat"
    ),
    "spine": _rule("asset-clip*", "", "name lane offset format"),
    "asset-clip": _rule(
        "adjust-volume? asset-clip* marker*",
        "ref",
        "name lane offset start duration enabled srcEnable audioStart audioDuration format tcStart "
        "tcFormat audioRole videoRole",
    ),
    "adjust-volume": _rule("param*", "", "amount"),
    "param": _rule("fadeIn? fadeOut? keyframeAnimation?", "name", "key value enabled"),
    "fadeIn": _rule("", "duration", "type"),
    "fadeOut": _rule("", "duration", "type"),
    "keyframeAnimation": _rule("keyframe*", ""),
    "keyframe": _rule("", "time value", "interp curve"),
    "marker": _rule("", "start value", "duration note completed"),
}

VALUES = {
    ("fcpxml", "version"): r"1\.10",
    ("media-rep", "kind"): "original-media|proxy-media",
    ("media-rep", "src"): r"file:///[!-~]*",
    ("sequence", "tcFormat"): "DF|NDF",
    ("asset-clip", "tcFormat"): "DF|NDF",
    ("sequence", "audioLayout"): "mono|stereo|surround",
    ("sequence", "audioRate"): r"32k|44\.1k|48k|88\.2k|96k|176\.4k|192k",
    ("asset", "audioRate"): r"\d+",
    ("asset", "hasVideo"): "1",
    ("asset", "hasAudio"): "1",
    ("asset-clip", "enabled"): "0|1",
    ("asset-clip", "lane"): r"-?\d+",
    ("adjust-volume", "amount"): r"-?\d+(\.\d+)?dB",
    ("keyframe", "value"): r"-?\d+(\.\d+)?dB",
    ("keyframe", "curve"): "linear|smooth",
    ("fadeIn", "type"): "linear|easeIn|easeOut|easeInOut",
    ("fadeOut", "type"): "linear|easeIn|easeOut|easeInOut",
}
TIMES = {"start", "duration", "offset", "tcStart", "frameDuration", "time"}


def problems(text: str) -> list[str]:
    """Return everything that Final Cut Pro would refuse or warn about; empty when it is clean."""
    root = ElementTree.fromstring(text)
    found = [] if "<!DOCTYPE fcpxml>" in text else ["no document type"]
    for node in root.iter():
        found += _structure(node)
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    if len(ids) != len(set(ids)):
        found.append("an id twice")
    for node in root.iter():
        found += [
            f"{node.tag} refers to nothing"
            for key in ("ref", "format")
            if node.get(key) is not None and node.get(key) not in ids
        ]
    return found or _timing(root)


def _structure(node: ElementTree.Element) -> list[str]:
    rule = RULES.get(node.tag)
    if rule is None:
        return [f"unknown element {node.tag}"]
    pattern = "".join(
        f"(?:{part.rstrip('*+?').strip('()').join(('(?:', ')'))} )"
        + (part[-1] if part[-1] in "*+?" else "")
        for part in rule.children
    )
    order = "".join(f"{child.tag} " for child in node)
    found = [] if re.fullmatch(pattern, order) else [f"{node.tag} holds {order or 'nothing'}"]
    keys = set(node.keys())
    found += [f"{node.tag} without {key}" for key in rule.required - keys]
    found += [f"{node.tag} with {key}" for key in keys - rule.required - rule.optional]
    for key, value in node.items():
        wanted = VALUES.get((node.tag, key), r"(\d+|\d+/[1-9]\d*)s" if key in TIMES else r"[^\n]*")
        if not re.fullmatch(wanted, value):
            found.append(f"{node.tag} {key}={value!r}")
    return found


def _timing(root: ElementTree.Element) -> list[str]:
    sequence = next(root.iter("sequence"))
    named = {node.get("id"): node for node in root.iter() if node.get("id")}
    frame = _seconds(named[sequence.get("format")].get("frameDuration"))
    found = []
    for node in sequence.iter():
        for key, value in node.items():
            if key in TIMES and (_seconds(value) / frame).denominator != 1:
                found.append(f"{node.tag} {key}={value} is no whole frame")
    busy: dict[str, list[tuple[Fraction, Fraction]]] = {}
    for clip in sequence.iter("asset-clip"):
        asset = named[clip.get("ref")]
        start, length = _seconds(clip.get("start")), _seconds(clip.get("duration"))
        first = _seconds(asset.get("start"))
        if start < first or start + length > first + _seconds(asset.get("duration")):
            found.append(f"{clip.get('name')} reaches beyond its asset")
        offset = _seconds(clip.get("offset"))
        taken = busy.setdefault(clip.get("lane", "0"), [])
        if any(a < offset + length and offset < b for a, b in taken):
            found.append(f"{clip.get('name')} overlaps another in its lane")
        taken.append((offset, offset + length))
        fades = sum(
            _seconds(n.get("duration")) for n in clip.findall("./adjust-volume/param/*[@type]")
        )
        if fades > length:
            found.append(f"the fades of {clip.get('name')} are longer than it is")
        for keyframe in clip.findall("./adjust-volume//keyframe"):
            if not start <= _seconds(keyframe.get("time")) <= start + length:
                found.append(f"a keyframe outside {clip.get('name')}")
    return found


def _seconds(text: str | None) -> Fraction:
    assert text is not None
    return Fraction(text[:-1])
