"""Tensors out of `torch.save` files, without running what is in them.

Such a file is a zip archive: `data.pkl` says how the tensors are built, `data/0`, `data/1`... hold
their bytes. Unpickling it could run any code. Here the opcodes are read one by one by a tiny
machine that knows numbers, text, tuples, lists, dicts and four names, and refuses everything else:
no import, no call, no attribute. Sizes are bounded before anything is read.
"""

from __future__ import annotations

import math
import os
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError

__all__ = ["read_tensors"]

_LARGEST_FILE = 1 << 28
_LARGEST_PICKLE = 1 << 20
_MOST_OPCODES = 100_000

_STORAGES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_ORDERED = "collections OrderedDict"
_NAMES = {_TENSOR, _PARAMETER, _ORDERED} | {f"torch {name}" for name in _STORAGES}


def read_tensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a file that holds one tensor, or a dict from names to tensors.

    Returns:
        Name -> array; a single tensor has the name "". bfloat16 comes as float32. Numbers and texts
        next to the tensors are left out.

    Raises:
        DataError: the file cannot be read, is not such an archive, is damaged, too large, or holds
            anything but plain tensors.
    """
    where = os.fsdecode(path)
    try:
        if Path(path).stat().st_size > _LARGEST_FILE:
            raise _Refused(f"larger than {_LARGEST_FILE >> 20} MB")
        with zipfile.ZipFile(path) as archive:
            value = _Machine(archive).run()
    except _Refused as refused:
        raise DataError(
            f"a torch file that is not loaded: {refused}",
            where=where,
            advice="Save a plain tensor, or a dict of tensors, with torch.save; or use .npy",
        ) from None
    except Exception as error:  # zipfile has a dozen kinds of complaint about damaged archives
        hint = "Files of torch before 1.6 must be saved again; .npy files are read, too"
        raise DataError(
            f"not a torch file, or damaged ({error})", where=where, advice=hint
        ) from None
    if isinstance(value, np.ndarray):
        return {"": value}
    if isinstance(value, dict):
        found = {str(k): v for k, v in value.items() if isinstance(v, np.ndarray)}
        if found:
            return found
    raise DataError("a torch file without a tensor", where=where)


class _Refused(Exception):  # noqa: N818  a verdict, not a fault
    """The file holds something that is not on the list."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A name on the list; never looked up."""

    text: str


class _Mark:
    """Where a tuple or a run of items begins on the stack."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """The flat memory of tensors."""

    values: NDArray[Any]


class _Machine:
    """The part of the pickle machine that builds tensors."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        entries = [n for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
        if len(entries) != 1:
            raise _Refused("an archive without its data.pkl")
        self._root = entries[0].removesuffix("data.pkl")
        self._pickle = self._read("data.pkl", _LARGEST_PICKLE)
        order = b"little"
        if f"{self._root}byteorder" in archive.namelist():
            order = self._read("byteorder", 16)
        self._order: Literal["<", ">"] = ">" if order == b"big" else "<"
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Build the value that the opcodes describe."""
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(self._pickle)):
                if count > _MOST_OPCODES:
                    raise _Refused("too many instructions")
                if opcode.name == "STOP":
                    return self._stack[-1]
                step = _STEPS.get(opcode.name)
                if step is None:
                    raise _Refused(f"the instruction {opcode.name}")
                step(self, argument)
        except _Refused:
            raise
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, MemoryError) as error:
            raise _Refused(f"broken instructions ({type(error).__name__}: {error})") from None
        raise _Refused("instructions without an end")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def recall(self, key: Any) -> None:
        self._stack.append(self._memo[int(key)])

    def remember(self, key: Any) -> None:
        self._memo[len(self._memo) if key is None else int(key)] = self._stack[-1]

    def name(self, argument: Any) -> None:
        if argument is None:  # STACK_GLOBAL: module and name lie on the stack
            attribute, module = self._stack.pop(), self._stack.pop()
            argument = f"{module} {attribute}"
        if argument not in _NAMES:
            raise _Refused(f"the name {str(argument).replace(' ', '.')!r}")
        self._stack.append(_Name(argument))

    def gather(self, n: int | None) -> None:
        items = self._since_mark() if n is None else [self._stack.pop() for _ in range(n)][::-1]
        self._stack.append(tuple(items))

    def append(self, many: bool) -> None:
        items = self._since_mark() if many else [self._stack.pop()]
        if not isinstance(self._stack[-1], list):
            raise _Refused("items for something that is not a list")
        self._stack[-1].extend(items)

    def set_items(self, many: bool) -> None:
        items = self._since_mark() if many else [self._stack.pop() for _ in range(2)][::-1]
        target = self._stack[-1]
        if not isinstance(target, dict) or not all(isinstance(k, str | int) for k in items[::2]):
            raise _Refused("items for something that is not a dict of names")
        target.update(zip(items[::2], items[1::2], strict=True))

    def storage(self) -> None:
        kind, storage, key, _location, n = self._stack.pop()
        if kind != "storage" or not isinstance(storage, _Name) or not isinstance(key, str):
            raise _Refused("an outside object that is not a storage")
        code = _STORAGES[storage.text.removeprefix("torch ")]
        data = self._read(f"data/{key}", _LARGEST_FILE)
        if code == "bf16":
            high = np.frombuffer(data, f"{self._order}u2").astype(np.uint32) << 16
            values: NDArray[Any] = high.view(np.float32)
        else:
            values = np.frombuffer(data, np.dtype(code).newbyteorder(self._order))
        if len(values) != n:
            raise _Refused(f"a storage of {len(values)} values where {n} are announced")
        self._stack.append(_Storage(values))

    def reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Name):
            raise _Refused("a call")
        if function.text == _ORDERED and arguments == ():
            self._stack.append({})
        elif function.text == _TENSOR:
            self._stack.append(_tensor(*arguments[:4]))
        elif function.text == _PARAMETER and isinstance(arguments[0], np.ndarray):
            self._stack.append(arguments[0])
        else:
            raise _Refused(f"a call of {function.text.replace(' ', '.')}")

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(top := self._stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def _read(self, name: str, limit: int) -> bytes:
        entry = self._archive.getinfo(self._root + name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
            raise _Refused(f"an entry {name} that is compressed or too large")
        return self._archive.read(entry)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> NDArray[Any]:
    """Return a copy of the part of a storage that a tensor shows."""
    numbers = [offset, *size, *stride]
    if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 8:
        raise _Refused("a tensor without a storage")
    if not all(type(n) is int and 0 <= n < 2**40 for n in numbers):
        raise _Refused("a tensor of impossible size")
    values = storage.values
    if math.prod(size) == 0:
        return np.zeros(size, values.dtype.newbyteorder("="))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(values) or math.prod(size) > len(values):
        raise _Refused("a tensor that reaches beyond its storage")
    shown = np.lib.stride_tricks.as_strided(
        values[offset:], size, [step * values.itemsize for step in stride], writeable=False
    )
    return shown.astype(values.dtype.newbyteorder("="), order="C")


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.push(_Mark()),
    "GLOBAL": lambda m, a: m.name(a),
    "STACK_GLOBAL": lambda m, a: m.name(None),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "TUPLE": lambda m, a: m.gather(None),
    "TUPLE1": lambda m, a: m.gather(1),
    "TUPLE2": lambda m, a: m.gather(2),
    "TUPLE3": lambda m, a: m.gather(3),
    "APPEND": lambda m, a: m.append(False),
    "APPENDS": lambda m, a: m.append(True),
    "SETITEM": lambda m, a: m.set_items(False),
    "SETITEMS": lambda m, a: m.set_items(True),
    "BINPERSID": lambda m, a: m.storage(),
    "REDUCE": lambda m, a: m.reduce(),
    "MEMOIZE": lambda m, a: m.remember(None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda m, a: m.remember(a)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.recall(a)),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
        lambda m, a: m.push(a),
    ),
}
