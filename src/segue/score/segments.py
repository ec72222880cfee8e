"""Segments of the film to score; the algorithm is `segue.media.segments`."""

from __future__ import annotations

from segue.media.segments import SegmentSettings, Span, group_shots

__all__ = ["SegmentSettings", "Span", "group_shots"]
