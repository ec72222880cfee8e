"""A tiny AudioLDM2 with random weights, built and saved as the published ones are.

Its tokenizers are made here, of a few sentences. Everything is small but the vocoder's
upsampling, which stays 160 samples per frame: with less, half a second would be thousands of
frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SENTENCES = (
    "a recording of a happy piano solo, high quality", "an angry guitar", "a sad violin",
    "a tender song", "low quality, multiple sound sources", "a slow bright flute in a large hall",
)  # fmt: skip
LONGEST = 32
"""Tokens that the second text encoder takes."""
_CLAP, _T5, _GPT = 16, 32, 16
"""Widths of the three streams of text."""


def components(seed: int = 0, channels: Sequence[int] = (8, 16), heads: int = 2) -> dict[str, Any]:
    """Return every part of a pipeline by name, in evaluation mode."""
    import torch
    import transformers as tf
    from diffusers import AudioLDM2ProjectionModel, AutoencoderKL, DDIMScheduler

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer, tokenizer_2 = tokenizers()
        text = tf.ClapModel(_clap(len(tokenizer)))
        t5 = tf.T5EncoderModel(
            tf.T5Config(
                vocab_size=len(tokenizer_2), d_model=_T5, d_ff=32, d_kv=8, num_heads=2,
                num_layers=1, feed_forward_proj="gated-gelu", is_encoder_decoder=False,
                use_cache=False,
            )
        )  # fmt: skip
        gpt = tf.GPT2LMHeadModel(
            tf.GPT2Config(
                n_embd=_GPT,
                n_head=2,
                n_layer=1,
                n_positions=64,
                vocab_size=8,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
        gpt.config.max_new_tokens = 8
        made = {
            "vae": AutoencoderKL(
                in_channels=1, out_channels=1, latent_channels=8, block_out_channels=(4, 4, 8),
                down_block_types=("DownEncoderBlock2D",) * 3, norm_num_groups=4,
                up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=0.9,
            ),
            "text_encoder": text,
            "text_encoder_2": t5,
            "projection_model": AudioLDM2ProjectionModel(_CLAP, _T5, _GPT),
            "language_model": gpt,
            "tokenizer": tokenizer,
            "tokenizer_2": tokenizer_2,
            "feature_extractor": tf.ClapFeatureExtractor(sampling_rate=48_000),
            "unet": unet(channels, heads),
            "scheduler": DDIMScheduler(
                beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear",
                clip_sample=False, set_alpha_to_one=False, steps_offset=1,
            ),
            "vocoder": tf.SpeechT5HifiGan(
                tf.SpeechT5HifiGanConfig(
                    model_in_dim=64, sampling_rate=16_000, upsample_initial_channel=32,
                    upsample_rates=[5, 4, 2, 2, 2], upsample_kernel_sizes=[16, 16, 8, 4, 4],
                    resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
                    normalize_before=False,
                )
            ),
        }  # fmt: skip
        with torch.no_grad():
            # Fresh text encoders hardly tell two prompts apart, and the tests must.
            for part in (text, t5, gpt, made["projection_model"]):
                for weights in part.parameters():
                    if weights.ndim > 1:
                        weights.normal_(0, 0.3)
    for part in made.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return made


def unet(channels: Sequence[int], heads: int) -> Any:
    """Return the network that denoises; 16 latent columns, as with 64 mel bands."""
    from diffusers import AudioLDM2UNet2DConditionModel

    return AudioLDM2UNet2DConditionModel(
        in_channels=8, out_channels=8, block_out_channels=tuple(channels), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=8,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=heads,
        cross_attention_dim=((None, _GPT, _T5),) * 2, sample_size=64,
    )  # fmt: skip


def pipeline(seed: int = 0, **sizes: Any) -> Any:
    """Return an `AudioLDM2Pipeline`, silent."""
    from diffusers import AudioLDM2Pipeline

    made = AudioLDM2Pipeline(**components(seed, **sizes))
    made.set_progress_bar_config(disable=True)
    return made


def save(folder: Path, seed: int = 0, *, language_model: str = "GPT2LMHeadModel") -> Path:
    """Save a pipeline into a folder; with `GPT2Model`, as the published conversion did."""
    made = pipeline(seed)
    made.save_pretrained(folder)
    if language_model == "GPT2Model":
        made.language_model.transformer.save_pretrained(folder / "language_model")
        settings = folder / "language_model" / "config.json"
        kept = json.loads(settings.read_text())
        settings.write_text(json.dumps({**kept, "max_new_tokens": 8}))
        index = folder / "model_index.json"
        named = json.loads(index.read_text())
        named["language_model"] = ["transformers", "GPT2Model"]
        index.write_text(json.dumps(named))
    return folder


def tokenizers() -> tuple[Any, Any]:
    """Return the tokenizers of both text encoders, trained on SENTENCES."""
    import tokenizers as tk
    import transformers as tf

    pairs = tk.ByteLevelBPETokenizer()
    pairs.train_from_iterator(
        SENTENCES, vocab_size=320, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
    )  # fmt: skip
    first = tf.RobertaTokenizer(vocab=pairs.get_vocab(), merges=_merges(pairs), model_max_length=64)
    # Training of unigrams is not repeatable, so the pieces are counted: letters, and short words.
    words = sorted({f"\u2581{word}" for text in SENTENCES for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(word, -3.0) for word in words if 2 < len(word) < 7]
    vocabulary += [(letter, -4.0) for letter in letters]
    second = tf.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=LONGEST)
    return first, second


def _merges(pairs: Any) -> list[tuple[str, str]]:
    return [tuple(merge) for merge in json.loads(pairs.to_str())["model"]["merges"]]


def _clap(vocabulary: int) -> Any:
    import transformers as tf

    words = {
        "vocab_size": vocabulary, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 70,
        "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    sound = {
        "hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1],
        "num_attention_heads": [1, 2], "num_hidden_layers": 2,
    }  # fmt: skip
    return tf.ClapConfig(projection_dim=_CLAP, text_config=words, audio_config=sound)
