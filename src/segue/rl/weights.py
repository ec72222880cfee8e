"""Trained weights on disk, in two files that belong together.

    NAME.safetensors    the weights
    NAME.json           what the network is, SHA-256 of the weights, how they were made

Nothing is unpickled, and nothing is made of weights that are not those which the JSON file speaks
of. The JSON file is written last: where a writing was cut short, the hash tells.

A task says once what its files are called and how they are made. Whatever is missing or damaged is
then told in the same words: which file, in which folder, and the command that makes it again.

    FILES = WeightFiles("nano", what="nano model", maker="`segue audio pretrain`")
    FILES.write(folder, network.state_dict(), {"sizes": {"width": 64}}, {"seed": 1})
    ...
    stored = FILES.read(folder)
    with stored.parsing() as facts:
        sizes = Sizes.parse(facts["sizes"])
    network = Network(sizes)
    stored.fill(network)
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ConfigError, DataError, MissingModel, SegueError
from segue.core.files import atomic_write, write_json

if TYPE_CHECKING:
    import torch

__all__ = ["StoredWeights", "WeightFiles"]


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The two files of one kind of network, wherever they lie."""

    name: str
    """Of both files, without the ending."""
    what: str
    """It is, as in `no WHAT here`."""
    maker: str
    """Command that makes the files, as in `Make one with MAKER`."""
    format: int = 1
    """Number of the shape of the JSON file; files without a number have the first."""
    largest_bytes: int | None = None
    """A larger file is refused; None reads any."""
    error: type[SegueError] = DataError
    """Raised where a file is damaged."""

    @property
    def weights_file(self) -> str:
        """Name of the file of weights."""
        return f"{self.name}.safetensors"

    @property
    def facts_file(self) -> str:
        """Name of the JSON file."""
        return f"{self.name}.json"

    def write(
        self,
        folder: Path,
        arrays: Mapping[str, torch.Tensor] | Mapping[str, NDArray[Any]],
        head: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> str:
        """Write both files; equal arguments give equal bytes.

        Args:
            folder: made if it is not there.
            arrays: the weights by name, tensors of any device or numpy's arrays.
            head: what stands before the hash in the JSON file, such as what reading needs.
            facts: what stands behind it, such as how the weights were made.

        Returns:
            SHA-256 of the weights.
        """
        content = _packed(arrays)
        digest = hashlib.sha256(content).hexdigest()
        atomic_write(folder / self.weights_file, content)
        write_json(folder / self.facts_file, {**head, "sha256": digest, **facts})
        return digest

    def read(self, folder: Path) -> StoredWeights:
        """Read both files, and check that they belong together.

        Raises:
            MissingModel: one or both are missing; the message names them.
            SegueError: `error`, where a file is damaged, too large or of another format.
        """
        found, missing = [], []
        for name in (self.facts_file, self.weights_file):
            try:
                found.append(self._bytes(folder, name))
            except FileNotFoundError:
                missing.append(f"{name} is missing")
            except OSError as error:
                why = error.strerror or error
                raise self.damaged(folder, f"{name} cannot be read: {why}") from None
        if missing:
            raise MissingModel(
                f"no {self.what} here: {' and '.join(missing)}",
                where=folder,
                advice=f"Make one with {self.maker}",
            )
        text, content = found
        digest = hashlib.sha256(content).hexdigest()
        stored = StoredWeights(
            files=self, folder=folder, facts=self._facts(folder, text), content=content,
            sha256=digest,
        )  # fmt: skip
        with stored.parsing() as facts:
            expected = facts["sha256"]
        if digest != expected:
            what = "is damaged: its content is not what was written (SHA-256)"
            raise self.damaged(folder, f"{self.weights_file} {what}")
        return stored

    def damaged(self, folder: Path, what: str) -> SegueError:
        """Return the error that says what is wrong with files in `folder`."""
        return self.error(what, where=folder, advice=f"Make it again with {self.maker}")

    def _bytes(self, folder: Path, name: str) -> bytes:
        path = folder / name
        if self.largest_bytes is not None and path.stat().st_size > self.largest_bytes:
            raise self.damaged(folder, f"{name} is larger than {self.largest_bytes} bytes")
        return path.read_bytes()

    def _facts(self, folder: Path, text: bytes) -> dict[str, Any]:
        try:
            facts = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self.damaged(folder, f"{self.facts_file} is damaged: {error!r}") from None
        if not isinstance(facts, dict):
            raise self.damaged(folder, f"{self.facts_file} is damaged: it is no JSON object")
        found = facts.get("format", 1)
        if found != self.format:
            raise self.error(
                f"{self.facts_file} has the format {found}, this version reads {self.format}",
                where=folder,
                advice=f"Use the Segue that wrote it, or make it again with {self.maker}",
            )
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """Both files as they were read; the weights are those that were written."""

    files: WeightFiles
    folder: Path
    facts: dict[str, Any]
    """All of the JSON file."""
    content: bytes
    """Of the file of weights."""
    sha256: str
    """Of the file of weights."""

    @contextmanager
    def parsing(self) -> Iterator[dict[str, Any]]:
        """Give the facts; what fails while the block reads them is told as damage of their file."""
        name = self.files.facts_file
        try:
            yield self.facts
        except ConfigError as error:
            what = f"{name} does not fit this version: {error.what}"
            raise self.files.damaged(self.folder, what) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self.files.damaged(self.folder, f"{name} is damaged: {error!r}") from None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights as numpy's arrays, by name; raises as `WeightFiles.read`."""
        from safetensors.numpy import load

        return self._unpacked(load)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights as tensors on the CPU, by name; raises as `WeightFiles.read`."""
        from safetensors.torch import load

        return self._unpacked(load)

    def fill(self, network: torch.nn.Module) -> None:
        """Put the weights into a network of the same names and shapes, in evaluation mode.

        Raises:
            SegueError: `files.error`, where names or shapes are others, or a number is not finite.
        """
        tensors, name = self.tensors(), self.files.weights_file
        for key, value in tensors.items():
            if not value.isfinite().all():
                what = f"{name} is damaged: '{key}' holds numbers that are not finite"
                raise self.files.damaged(self.folder, what)
        with self.fitting():
            network.load_state_dict(tensors)
        network.eval()

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Tell what fails while the block takes the weights as damage of their file."""
        try:
            yield
        except (RuntimeError, KeyError, ValueError) as error:
            # torch's first line names the class of the network only
            told = textwrap.shorten(str(error).partition("\n")[2] or repr(error), 200)
            what = f"{self.files.weights_file} does not fit its sizes: {told}"
            raise self.files.damaged(self.folder, what) from None

    def _unpacked(self, load: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
        from safetensors import SafetensorError

        try:
            return load(self.content)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            what = f"{self.files.weights_file} is damaged: {error}"
            raise self.files.damaged(self.folder, what) from None


def _packed(arrays: Mapping[str, Any]) -> bytes:
    """Return a safetensors file; it sorts by type and name, so the order given does not matter."""
    content: bytes
    if all(isinstance(value, np.ndarray) for value in arrays.values()):
        from safetensors.numpy import save

        content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    else:
        from safetensors.torch import save as save_tensors

        content = save_tensors({n: x.detach().cpu().contiguous() for n, x in arrays.items()})
    return content
