"""What the package shows, what it loads, and what it must never do."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import segue

SOURCE = Path(segue.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
HEAVY = (
    "torch",
    "gymnasium",
    "librosa",
    "av",
    "scipy",
    "matplotlib",
    "pydantic",
    "numba",
    "sklearn",
)


@pytest.mark.parametrize(
    "code",
    [
        "import segue",
        "import segue.cli",
        "from segue.cli import root; root(['--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    report = "import sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "segue" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_core_needs_no_torch_and_no_media() -> None:
    """Every module of core, in a fresh interpreter."""
    names = [f"segue.core.{m.name}" for m in pkgutil.iter_modules([str(SOURCE / "core")])]
    assert len(names) >= 10
    report = "import sys; sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}\n{report}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()).isdisjoint(set(HEAVY) - {"pydantic"})


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_all_is_sorted_complete_and_real(path: Path) -> None:
    """`__all__` names what the module defines for others, in ruff's order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed = _all(tree)
    if listed is None and "__all__" in _bound(tree):
        return
    if listed is None:
        private = [n for n in _defined(tree) if not n.startswith("_")]
        assert not private, f"no __all__, but it defines {private}"
        return
    assert len(listed) == len(set(listed))
    assert listed == sorted(listed, key=_ruff_order)
    top = _bound(tree)
    assert set(listed) <= top, f"listed but not defined: {set(listed) - top}"


def test_version_is_stated_once() -> None:
    import tomllib

    project = tomllib.loads((SOURCE.parent.parent / "pyproject.toml").read_text())
    assert project["project"]["version"] == segue.__version__


def test_every_module_can_be_imported() -> None:
    names = [
        ".".join(("segue", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in FILES
        if path.name not in ("__init__.py", "__main__.py")
    ]
    for name in names:
        importlib.import_module(name)


FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__",
    "os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load",
    "tempfile.mktemp", "shutil.unpack_archive",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "from_pickle", "read_pickle", "unsafe_load"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_that_runs_what_a_user_hands_us(path: Path) -> None:
    assert list(_unsafe(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
        "import numpy\nnumpy.load(p)",
        "import torch as t\nt.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "eval(text)",
        "import subprocess\nsubprocess.run(c, shell=True)",
        "import yaml\nyaml.load(text)",
        "archive.extractall(p)",
        "import os\nos.system(c)",
        "model.from_pretrained(p, trust_remote_code=True)",
        "from torch import load\nload(p)",
    ],
)
def test_the_lint_sees_unsafe_code(code: str) -> None:
    assert list(_unsafe(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np\nnp.load(p, allow_pickle=False)",
        "import torch\ntorch.load(p, weights_only=True)",
        "import json\njson.load(f)",
        "model.eval()",
        "import re\nre.compile('a')",
    ],
)
def test_the_lint_lets_safe_code_pass(code: str) -> None:
    assert list(_unsafe(ast.parse(code))) == []


def _unsafe(tree: ast.Module) -> Iterator[str]:
    names: dict[str, str] = {}  # local name -> full name
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                if alias.name.split(".")[0] in FORBIDDEN_MODULES:
                    yield f"line {node.lineno}: import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            if node.module.split(".")[0] in FORBIDDEN_MODULES:
                yield f"line {node.lineno}: from {node.module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _unsafe_call(node, names)


def _unsafe_call(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    first, *rest = ast.unparse(call.func).split(".")
    name = ".".join([names.get(first, first), *rest])
    given = {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}
    safe_torch = name == "torch.load" and given.get("weights_only") == "True"
    if name in FORBIDDEN_CALLS and not safe_torch:
        yield f"line {call.lineno}: {name}"
    if name == "numpy.load" and given.get("allow_pickle") != "False":
        yield f"line {call.lineno}: numpy.load without allow_pickle=False"
    if rest and rest[-1] in FORBIDDEN_METHODS:
        yield f"line {call.lineno}: {name}"
    for word in ("shell", "trust_remote_code", "allow_pickle"):
        if given.get(word, "False") != "False":
            yield f"line {call.lineno}: {word}={given[word]}"


def _all(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            try:
                names: list[str] = ast.literal_eval(node.value)
            except ValueError:  # computed, as in a package that loads its names late
                return None
            return names
    return None


def _defined(tree: ast.Module) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds)]


def _bound(tree: ast.Module) -> set[str]:
    bound = set(_defined(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return bound


def _ruff_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
