"""The pages tell the truth: code runs, commands exist, tables are complete."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from segue.cli import root
from segue.core.config import Config

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "generated"} & set(path.parts)
)
RUNNABLE = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if RUNNABLE.search(p.read_text())], ids=ids)
def test_marked_blocks_run(page: Path, tmp_path: Path) -> None:
    """All blocks of a page, one after the other, in an empty folder, with warnings as errors."""
    blocks = RUNNABLE.findall(page.read_text(encoding="utf-8"))
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_pages_have_blocks_to_run() -> None:
    assert sum(len(RUNNABLE.findall(page.read_text())) for page in PAGES) >= 8


@pytest.mark.parametrize("page", [p for p in PAGES if "segue " in p.read_text()], ids=ids)
def test_commands_and_options_exist(page: Path) -> None:
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            words = words[bool(words) and words[0].startswith("PYTHONPATH=") :]
            if words and Path(words[0]).name == "segue":
                _check(words[1:])


def _check(words: list[str]) -> None:
    command: click.Command = root
    context = click.Context(root, info_name="segue")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found, f"no command {words[0]}"
        command, words = found, words[1:]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    known |= set(context.help_option_names) | {"-h", "--help"}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= known, f"{given - known} unknown to {command.name}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith(("#", "mailto:")) or "/generated/" in target:
            continue
        assert (page.parent / target.partition("#")[0]).exists(), target


def test_tables_on_the_pages_name_every_entry() -> None:
    from segue.media.embed import EMBEDDERS
    from segue.score.export import EXPORTERS
    from segue.tasks.audio.rewards.table import REWARDS as AUDIO_REWARDS
    from segue.tasks.captioning.rewards import REWARDS as CAPTIONING_REWARDS
    from segue.tasks.melody.rewards import REWARDS as MELODY_REWARDS
    from segue.tasks.playlist.agents import AGENTS as PLAYLIST_AGENTS
    from segue.tasks.playlist.models import MODELS
    from segue.tasks.playlist.rewards import REWARDS as PLAYLIST_REWARDS
    from segue.tasks.soundtrack.agents import AGENTS
    from segue.tasks.soundtrack.rewards import REWARDS

    soundtrack = (ROOT / "docs/tasks/soundtrack.md").read_text()
    for name in [*REWARDS, *AGENTS]:
        assert f"| `{name}` |" in soundtrack, name
    melody = (ROOT / "docs/tasks/melody.md").read_text()
    for name in MELODY_REWARDS:
        assert f"| `{name}` |" in melody, name
    captioning = (ROOT / "docs/tasks/captioning.md").read_text()
    for name in CAPTIONING_REWARDS:
        assert f"| `{name}` |" in captioning, name
    playlist = (ROOT / "docs/tasks/playlist.md").read_text()
    for name in [*PLAYLIST_REWARDS, *PLAYLIST_AGENTS, *MODELS]:
        assert f"| `{name}` |" in playlist, name
    audio = (ROOT / "docs/tasks/audio.md").read_text()
    for name in AUDIO_REWARDS:
        assert f"| `{name}` |" in audio, name
    install = (ROOT / "docs/install.md").read_text()
    for name in set(EMBEDDERS) - {"affect"}:
        assert f"| `{name}` |" in install, name
    score = (ROOT / "docs/score.md").read_text()
    assert len(re.findall(r"^\| `(?:timeline\.\w+|cues\.csv)` \|", score, re.MULTILINE)) >= len(
        EXPORTERS
    )


@pytest.mark.parametrize(
    "target",
    [
        "segue.score.config:ScoreConfig",
        "segue.tasks.audio.config:TuneConfig",
        "segue.tasks.audio.data.config:PrepareConfig",
        "segue.tasks.audio.evaluate_config:EvaluateConfig",
        "segue.tasks.audio.generate:GenerateConfig",
        "segue.tasks.audio.pretrain_config:PretrainConfig",
        "segue.tasks.audio.rewards.config:RewardConfig",
        "segue.tasks.captioning.caption:CaptionConfig",
        "segue.tasks.captioning.config:PretrainConfig",
        "segue.tasks.captioning.config:TuneConfig",
        "segue.tasks.captioning.data.config:PrepareConfig",
        "segue.tasks.captioning.evaluate:EvaluateConfig",
        "segue.tasks.soundtrack.config:SoundtrackConfig",
        "segue.tasks.melody.config:TuneConfig",
        "segue.tasks.melody.evaluate:EvaluateConfig",
        "segue.tasks.melody.generate:GenerateConfig",
        "segue.tasks.melody.prepare:PrepareConfig",
        "segue.tasks.melody.pretrain:PretrainConfig",
        "segue.tasks.playlist.agents.config:NextTrackConfig",
        "segue.tasks.playlist.agents.config:PlaylistConfig",
        "segue.tasks.playlist.agents.config:TuneConfig",
        "segue.tasks.playlist.config:EvaluateConfig",
        "segue.tasks.playlist.config:PretrainConfig",
        "segue.tasks.playlist.data.config:PrepareConfig",
        "segue.tasks.playlist.models.fused:FusedConfig",
        "segue.tasks.playlist.models.item_cf:ItemCFConfig",
        "segue.tasks.playlist.models.reranker:RerankerConfig",
        "segue.tasks.playlist.models.sasrec_config:SASRecConfig",
    ],
)
def test_every_setting_is_described(target: str) -> None:
    from segue.core.names import resolve

    def undescribed(model: type[Config], prefix: str = "") -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
                found += undescribed(field.annotation, f"{prefix}{name}.")
            elif not field.description:
                found.append(prefix + name)
        return found

    assert undescribed(resolve({}, target, "settings")) == []
