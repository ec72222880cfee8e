"""Settings: the order of the sources, and one clear line for each mistake."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from segue.core.config import Config, read_toml
from segue.core.errors import ConfigError


class Mix(Config):
    duck_db: float = Field(default=12.0, ge=0, description="depth of ducking in dB")
    limit: bool = Field(default=True, description="limit true peaks")


class Job(Config):
    name: str = Field(default="job", description="free text")
    sizes: tuple[int, ...] = Field(default=(1, 2), description="sizes")
    folder: Path | None = Field(default=None, description="where")
    mix: Mix = Field(default=Mix(), description="the mix")
    other: Mix | None = Field(default=None, description="a second mix, or none")

    @model_validator(mode="after")
    def _named(self) -> Job:
        if self.name == "impossible":
            raise ValueError("Name and mix contradict each other")
        return self


def write(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_later_sources_win(tmp_path: Path) -> None:
    file = write(tmp_path, 'name = "file"\nsizes = [3]\n[mix]\nduck_db = 6\nlimit = false\n')
    assert Job.load().name == "job"
    assert Job.load(file).mix == Mix(duck_db=6, limit=False)
    loaded = Job.load(file, ["mix.duck_db=7", "name=set"], {"name": "flag", "sizes": None})
    assert (loaded.name, loaded.sizes, loaded.mix.duck_db, loaded.mix.limit) == (
        "flag", (3,), 7.0, False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name=plain words", "plain words"),
        ('name="quoted"', "quoted"),
        ("name=a=b", "a=b"),
        (" name = spaced ", "spaced"),
        ("name=", ""),
        ("name=it's", "it's"),
        ("name=3\nsizes=[9]", "3\nsizes=[9]"),  # a line end cannot smuggle in a second key
    ],
)
def test_assigned_texts(text: str, expected: str) -> None:
    loaded = Job.load(assignments=[text])
    assert (loaded.name, loaded.sizes) == (expected, (1, 2))


def test_assigned_values_have_types() -> None:
    loaded = Job.load(assignments=["sizes=[4, 5]", "mix.limit=false", "other.duck_db=1"])
    assert (loaded.sizes, loaded.mix.limit, loaded.other) == ((4, 5), False, Mix(duck_db=1))


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["mix.duk_db=1"], ["unknown setting 'mix.duk_db'", "Did you mean 'mix.duck_db'?"]),
        (["duck_db=1"], ["Did you mean 'mix.duck_db'?"]),
        (["nam=x"], ["Did you mean 'name'?", "Known here: folder, mix, name"]),
        (["other.limt=true"], ["Did you mean 'other.limit'?"]),
        (["mix.duck_db=-1"], ["mix.duck_db = -1", "greater than or equal to 0"]),
        (["mix.duck_db=loud"], ["mix.duck_db = 'loud'", "valid number"]),
        (["mix=3"], ["mix = 3"]),
        (["name.first=x"], ["name"]),
        (["name=x", "name.first=x"], ["'name' is a value, not a group"]),
        (["name"], ["'name' is not an assignment", "--set key.sub=value"]),
        (["=3"], ["not an assignment"]),
        (["name=impossible"], ["Name and mix contradict each other"]),
        (["sizes=[1,'x']", "mix.limit=7"], ["sizes.1 = 'x'", "mix.limit = 7"]),
    ],
)
def test_mistakes_are_named(assignments: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Job.load(assignments=assignments)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_file_mistakes_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"job\.toml: unknown setting 'nmae'"):
        Job.load(write(tmp_path, 'nmae = "x"'))
    with pytest.raises(ConfigError, match=r"job\.toml: cannot read.*line 2"):
        Job.load(write(tmp_path, 'name = "x"\nsizes = = 3\n'))
    with pytest.raises(ConfigError, match=r"absent\.toml: no such configuration file"):
        Job.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_toml(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        read_toml(tmp_path / "binary.toml")


def test_configurations_do_not_change() -> None:
    with pytest.raises(pydantic.ValidationError):
        Job().name = "other"  # type: ignore[misc]


def test_toml_round_trip(tmp_path: Path) -> None:
    job = Job(name='quo"te\n', folder=tmp_path, other=Mix(duck_db=0.1))
    assert Job.parse(tomllib.loads(job.to_toml())) == job
    assert Job.load(write(tmp_path, job.to_toml())) == job
    assert "other" not in tomllib.loads(Job().to_toml())


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5), max_size=4))
def test_any_mapping_is_a_configuration_or_a_config_error(values: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(Job.parse(values), Job)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_assignment_is_a_configuration_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(Job.load(assignments=[text]), Job)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_file_is_a_configuration_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert isinstance(Job.load(path), Job)
