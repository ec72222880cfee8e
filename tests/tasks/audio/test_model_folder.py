"""What is accepted as a folder of AudioLDM2, and what is refused before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segue.core.errors import DataError, MissingExtra, MissingModel, SegueError
from segue.tasks.audio.models import folder as folders
from segue.tasks.audio.models.audioldm2 import PARTS, AudioLDM2Denoiser
from segue.tasks.audio.models.folder import PipelineFolder
from tests.tasks.audio import tiny_audioldm2

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audioldm2.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refusal(folder: Path, kind: type[SegueError]) -> str:
    with pytest.raises(kind) as caught:
        PipelineFolder.check(folder, "AudioLDM2Pipeline", PARTS)
    text = str(caught.value)
    assert "\n" not in text
    return text


def rewrite(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_saved_pipeline_is_accepted(saved: Path) -> None:
    assert PipelineFolder.check(saved, "AudioLDM2Pipeline", PARTS).path == saved


@pytest.mark.parametrize("kind", ["GPT2LMHeadModel", "GPT2Model"])
def test_both_names_of_the_language_model_load_equal_weights(tmp_path: Path, kind: str) -> None:
    saved = tiny_audioldm2.save(tmp_path / "model", language_model=kind)
    assert kind in (saved / "model_index.json").read_text()
    expected = tiny_audioldm2.components()
    model = AudioLDM2Denoiser.from_folder(saved)
    for name in ("language_model", "text_encoder_2", "projection_model", "unet", "vae", "vocoder"):
        own = model._parts[name].state_dict()
        wanted = expected[name].state_dict()
        assert own.keys() == wanted.keys()
        assert all(torch.equal(own[key], wanted[key]) for key in own), name
    assert type(model._parts["language_model"]).__name__ == "GPT2LMHeadModel"
    heard = model.condition(["a sad violin"])
    assert torch.equal(heard["generated"], model.condition(["a sad violin"])["generated"])


def test_half_precision_keeps_its_numbers_float32(saved: Path) -> None:
    model = AudioLDM2Denoiser.from_folder(saved, dtype="bfloat16")
    assert next(model._network.parameters()).dtype == torch.bfloat16
    model.add_adapter(rank=2, alpha=2.0, seed=0)
    assert {w.dtype for w in model.adapter().values()} == {torch.float32}
    latents = torch.randn(1, *model.latent_shape(0.1))
    out = model.predict(latents, torch.tensor([5]), model.condition(["a sad violin"]))
    assert out.dtype == torch.float32
    assert model.decode(latents, 0.1).dtype == torch.float32


def test_weights_in_pieces_are_accepted(copied: Path) -> None:
    part = tiny_audioldm2.components()["unet"]
    (copied / UNET).unlink()
    part.save_pretrained(copied / "unet", max_shard_size="200KB")
    pieces = sorted((copied / "unet").glob("*-of-*.safetensors"))
    assert len(pieces) > 1
    PipelineFolder.check(copied, "AudioLDM2Pipeline", PARTS)
    pieces[1].unlink()
    assert pieces[1].name in refusal(copied, MissingModel)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    text = refusal(tmp_path / "nowhere", MissingModel)
    assert "there is no such folder" in text
    assert "nowhere" in text
    assert "model_index.json is missing" in refusal(tmp_path, MissingModel)


def test_everything_that_is_missing_is_named(copied: Path) -> None:
    shutil.rmtree(copied / "vocoder")
    (copied / UNET).unlink()
    (copied / "tokenizer" / "tokenizer.json").unlink()
    (copied / "scheduler" / "scheduler_config.json").unlink()
    text = refusal(copied, MissingModel)
    for name in (
        "vocoder/config.json", "vocoder/diffusion_pytorch_model.safetensors or model.safetensors",
        "unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ):  # fmt: skip
        assert name in text
    assert "vae" not in text


def test_a_part_that_the_index_lacks_is_named(copied: Path) -> None:
    index = copied / "model_index.json"
    kept = {k: v for k, v in json.loads(index.read_text()).items() if k != "vae"}
    index.write_text(json.dumps(kept))
    assert "vae missing" in refusal(copied, MissingModel)


@pytest.mark.parametrize("place", ["evil.py", "unet/model.py", "vae/deep/x.so", "vae/A.PY"])
def test_code_is_refused(copied: Path, place: str) -> None:
    (copied / place).parent.mkdir(exist_ok=True)
    (copied / place).write_text("raise SystemExit")
    text = refusal(copied, DataError)
    assert "code in a model folder" in text
    assert Path(place).name in text


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("unet", ["diffusers", "UNet2DConditionModel"]),
        ("unet", ["my_unet", "Net"]),
        ("text_encoder_2", ["transformers", "VitsModel"]),
        ("vae", [None, None]),
        ("vae", "AutoencoderKL"),
        ("scheduler", ["diffusers", "DDIMScheduler", "more"]),
    ],
)
def test_unknown_classes_are_refused(copied: Path, part: str, kind: Any) -> None:
    rewrite(copied / "model_index.json", **{part: kind})
    text = refusal(copied, DataError)
    assert f"{part} is of class" in text
    assert f"Expected {PARTS[part].classes[0]}" in text


def test_another_pipeline_is_refused(copied: Path) -> None:
    rewrite(copied / "model_index.json", _class_name="StableDiffusionPipeline")
    assert "StableDiffusionPipeline" in refusal(copied, DataError)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt", ".pth", ".pkl"])
def test_pickled_weights_are_refused_with_the_way_to_convert(copied: Path, suffix: str) -> None:
    (copied / UNET).rename(copied / "unet" / f"diffusion_pytorch_model{suffix}")
    text = refusal(copied, DataError)
    assert "pickled weights" in text
    assert f"diffusion_pytorch_model{suffix}" in text
    assert "use_safetensors=False" in text
    assert "save_pretrained" in text


def test_pickled_weights_beside_plain_ones_are_never_opened(copied: Path) -> None:
    (copied / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not a pickle")
    AudioLDM2Denoiser.from_folder(copied)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("text_encoder/config.json", {"auto_map": {"AutoModel": "x.Y"}}),
        ("model_index.json", {"custom_pipelines": {}}),
        ("text_encoder/config.json", {"text_config": {"attn_implementation": "a/kernel"}}),
        ("vae/config.json", {"deep": [{"auto_map": 1}]}),
    ],
)
def test_settings_that_ask_for_code_are_refused(
    copied: Path, file: str, changes: dict[str, Any]
) -> None:
    rewrite(copied / file, **changes)
    assert file.rpartition("/")[2] in refusal(copied, DataError)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_settings_are_refused(copied: Path, content: bytes) -> None:
    (copied / "vae" / "config.json").write_bytes(content)
    assert "not JSON" in refusal(copied, DataError)


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b[:-8]])
def test_damaged_weights_are_refused(copied: Path, damage: Callable[[bytes], bytes]) -> None:
    weights = copied / "vocoder" / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    checked = PipelineFolder.check(copied, "AudioLDM2Pipeline", PARTS)
    with pytest.raises(DataError, match="vocoder cannot be loaded"):
        checked.load("vocoder")


@pytest.mark.parametrize("part", ["unet", "language_model"])
def test_weights_are_never_made_up(copied: Path, part: str) -> None:
    """Both libraries fill what is not in the file with random numbers, and say so quietly."""
    from safetensors.torch import load_file, save_file

    file = next((copied / part).glob("*.safetensors"))
    arrays = load_file(file)
    gone = sorted(name for name in arrays if name.endswith("weight"))[0]
    save_file({k: v for k, v in arrays.items() if k != gone}, file, metadata={"format": "pt"})
    checked = PipelineFolder.check(copied, "AudioLDM2Pipeline", PARTS)
    with pytest.raises(DataError, match=part):
        checked.load(part)


def test_identity_follows_weights_and_settings(copied: Path, saved: Path) -> None:
    def identity(folder: Path) -> str:
        return PipelineFolder.check(folder, "AudioLDM2Pipeline", PARTS).identity("unet")

    first = identity(saved)
    assert identity(copied) == first
    rewrite(copied / "unet" / "config.json", _name_or_path="elsewhere")
    assert identity(copied) == first
    rewrite(copied / "unet" / "config.json", norm_eps=1e-4)
    assert identity(copied) != first


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries are cut off before they are imported, unless the user said otherwise."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folders.library("json")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    folders.library("json")
    assert os.environ["HF_HUB_OFFLINE"] == "0"


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"segue\[audio\]"):
        folders.library("diffusers_of_nobody")
