"""How Sphinx builds these pages; `.ci/run docs` treats every warning as an error."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import segue
from segue.core.names import resolve

project = "Segue"
author = "The Segue developers"
copyright = "The Segue developers, Apache-2.0"
version = release = segue.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "reference/generated/settings-*.md", "reference/generated/modules.md"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"Segue {release}"
html_static_path = ["_static"]
html_show_copyright = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
# A class imported for types alone appears in signatures by its short name, which several tasks
# share (`Prepared`, `Agent`); such a name stays unlinked, and nothing is wrong with the page.
suppress_warnings = ["myst.header", "ref.python"]

HERE = Path(__file__).parent
GENERATED = HERE / "reference" / "generated"
SETTINGS = {
    "score": "segue.score.config:ScoreConfig",
    "soundtrack": "segue.tasks.soundtrack.config:SoundtrackConfig",
    "soundtrack-prepare": "segue.tasks.soundtrack.prepare:PrepareConfig",
    "soundtrack-pretrain": "segue.tasks.soundtrack.pretrain:PretrainConfig",
    "soundtrack-tune": "segue.tasks.soundtrack.tune:TuneConfig",
    "soundtrack-render": "segue.tasks.soundtrack.render:RenderConfig",
}


def setup(app: Any) -> None:
    """Generate the reference, and show docstrings as they are written."""
    app.connect("builder-inited", lambda app: generate())
    app.connect("autodoc-process-docstring", literally)


def literally(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Show a docstring as preformatted text: ours are laid out to be read as they stand."""
    if any(line.strip() for line in lines):
        lines[:] = [".. code-block:: text", "", *("   " + line for line in lines), ""]


def generate() -> None:
    """Write one page for each module and one table for each class of settings."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    names = sorted(
        module.name
        for module in pkgutil.walk_packages(segue.__path__, "segue.")
        if not module.name.rpartition(".")[2].startswith("_")
    )
    pages = {f"{name}.rst": _page(name) for name in ["segue", *names]}
    for short, target in SETTINGS.items():
        pages[f"settings-{short}.md"] = _settings(resolve({}, target, "settings"))
    pages["modules.md"] = _contents(names)
    for old in GENERATED.iterdir():
        if old.name not in pages:
            old.unlink()
    for file, text in pages.items():
        path = GENERATED / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _page(name: str) -> str:
    # What a package re-exports, or loads late, is described where it is defined.
    importlib.import_module(name)
    module = sys.modules[name]
    listed = [n for n in getattr(module, "__all__", []) if n in vars(module)]
    own = [n for n in listed if getattr(vars(module)[n], "__module__", name) == name]
    members = f"   :members: {', '.join(own)}\n" if own else "   :no-members:\n"
    # Orphans: a sidebar that names every module on the page of every module takes minutes to make.
    return f":orphan:\n\n{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n{members}"


def _contents(names: list[str]) -> str:
    """Link every module, under the package that it belongs to."""
    lines = []
    for name in ["segue", *names]:
        first = (sys.modules[name].__doc__ or "").strip().partition("\n")[0]
        indent = "  " * name.count(".")
        lines.append(f"{indent}- [`{name}`](generated/{name}.rst): {first}")
    return "\n".join(lines) + "\n"


def _settings(model: Any) -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    rows += [f"| `{key}` | `{value}` | {text} |" for key, value, text in _leaves(model, "")]
    return "\n".join(rows) + "\n"


def _leaves(model: Any, prefix: str) -> list[tuple[str, str, str]]:
    found = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if hasattr(default, "model_fields"):
            found += _leaves(type(default), f"{prefix}{name}.")
        else:
            text = " ".join((field.description or "").split()).replace("|", r"\|")
            found.append((prefix + name, "none" if default is None else str(default), text))
    return found
