"""Run an FFmpeg filter graph on blocks of samples, in constant memory.

A graph is built by name (`add`, `link`), fed block by block and drained after each block, so that
hours of sound pass through it without ever being held. Everything inside is 64-bit floating point:
without that demand FFmpeg may choose 16 bits between two filters, which clips at full scale.

Samples are float64 [C, n], full scale +/-1, one input or output per index.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

__all__ = ["SampleGraph", "Samples64"]

Samples64 = NDArray[np.float64]
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0"}


class SampleGraph:
    """A filter graph whose inputs and outputs are numpy blocks."""

    def __init__(self) -> None:
        self._graph = av.filter.Graph()
        self._inputs: list[tuple[Any, int, str]] = []  # node, rate, layout
        self._written: list[int] = []
        self._outputs: list[Any] = []
        self._ended: list[bool] = []

    def input(self, rate_hz: int, channels: int) -> Any:
        """Add a source; returns its node."""
        layout = _LAYOUTS[channels]
        node = self._graph.add(
            "abuffer",
            f"sample_rate={rate_hz}:sample_fmt=dblp:channel_layout={layout}:time_base=1/{rate_hz}",
        )
        self._inputs.append((node, rate_hz, layout))
        self._written.append(0)
        return node

    def add(self, name: str, options: str = "") -> Any:
        """Add a filter by its FFmpeg name and option text."""
        return self._graph.add(name, options or None)

    def chain(self, first: Any, *others: Any, pad: int = 0) -> Any:
        """Link nodes in a row; `pad` is the output of `first` that is used. Returns the last."""
        for other in others:
            first.link_to(other, pad, 0)
            first, pad = other, 0
        return first

    def output(self, node: Any, channels: int, pad: int = 0) -> None:
        """End a branch in an output of float64 samples."""
        form = self.add("aformat", f"sample_fmts=dblp:channel_layouts={_LAYOUTS[channels]}")
        self._outputs.append(self.chain(node, form, self.add("abuffersink"), pad=pad))
        self._ended.append(False)

    def configure(self) -> None:
        """Check and fix the graph; call it once, after the last link."""
        self._graph.configure()

    def push(self, *blocks: Samples64) -> None:
        """Feed one block [C, n] to every input, in their order."""
        for index, ((node, rate_hz, layout), block) in enumerate(
            zip(self._inputs, blocks, strict=True)
        ):
            if not block.shape[1]:
                continue
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block, dtype=np.float64), format="dblp", layout=layout
            )
            frame.sample_rate = rate_hz
            frame.pts = self._written[index]
            frame.time_base = Fraction(1, rate_hz)
            self._written[index] += block.shape[1]
            node.push(frame)

    def finish(self) -> None:
        """Tell every input that it has ended."""
        for node, _, _ in self._inputs:
            node.push(None)

    def pull(self, index: int = 0) -> Iterator[Any]:
        """Yield the frames that output `index` has ready."""
        while not self._ended[index]:
            try:
                yield self._outputs[index].pull()
            except av.BlockingIOError:
                return
            except av.EOFError:
                self._ended[index] = True

    def read(self, index: int = 0) -> Samples64:
        """Return what output `index` has ready, as [C, n]; n may be 0."""
        parts = [frame.to_ndarray() for frame in self.pull(index)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((1, 0))
