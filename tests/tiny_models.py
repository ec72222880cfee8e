"""Tiny CLAP, CLIP and SigLIP models with random weights, saved as their real relatives are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_WORDS = """
this is very calm energetic intense sad and dark melancholic happy joyful bright peaceful relaxed
tense suspenseful threatening slow fast driving deep in tone warm brilliant neutral instrumental
film music a still from scene that . ,
"""
WORDS = _WORDS.split()
SPECIAL = ["<pad>", "<s>", "<unk>", "</s>"]  # </s> is not 2, which CLIP takes for an old mistake
_TEXT: dict[str, Any] = {
    "vocab_size": len(WORDS) + len(SPECIAL), "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 48,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3,
}  # fmt: skip
_VISION: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "patch_size": 8,
}  # fmt: skip
_IMAGE = {"height": 32, "width": 32}

KINDS = ("clap", "clap-fused", "clip", "siglip", "siglip2")


def save(kind: str, folder: Path, seed: int = 0) -> Path:
    """Save a model of one of KINDS with its processor into a folder; return the folder."""
    import torch
    import transformers as tf

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind.startswith("clap"):
            fused = kind == "clap-fused"
            audio = {
                "hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1],
                "num_attention_heads": [1, 2], "num_hidden_layers": 2, "projection_dim": 16,
                "enable_fusion": fused,
            }  # fmt: skip
            config = tf.ClapConfig(projection_dim=16, text_config=_TEXT, audio_config=audio)
            model = tf.ClapModel(config)
            listener = tf.ClapFeatureExtractor(truncation="fusion" if fused else "rand_trunc")
            processor = tf.ClapProcessor(listener, _tokenizer("<s>", model_max_length=48))
        elif kind == "clip":
            vision = {**_VISION, "image_size": 32}
            config = tf.CLIPConfig(projection_dim=16, text_config=_TEXT, vision_config=vision)
            model = tf.CLIPModel(config)
            viewer = tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=_IMAGE)
            processor = tf.CLIPProcessor(viewer, _tokenizer("<s>", model_max_length=48))
        elif kind == "siglip":
            vision = {**_VISION, "image_size": 32}
            config = tf.SiglipConfig(text_config=_text_of_siglip(), vision_config=vision)
            model = tf.SiglipModel(config)
            viewer = tf.SiglipImageProcessor(size=_IMAGE)
            processor = tf.SiglipProcessor(viewer, _tokenizer(None, model_max_length=48))
        else:
            vision = {**_VISION, "num_patches": 16}
            config = tf.Siglip2Config(text_config=_text_of_siglip(), vision_config=vision)
            model = tf.Siglip2Model(config)
            viewer = tf.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
            processor = tf.Siglip2Processor(viewer, _letters())
        with torch.no_grad():
            for weights in model.parameters():  # fresh ones are so small that all looks alike
                if weights.ndim > 1:
                    weights.normal_(0, 0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_sentences(folder: Path, seed: int = 0) -> Path:
    """Save a sentence encoder into a folder; return the folder."""
    import torch
    import transformers as tf

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = {k: v for k, v in _TEXT.items() if not k.startswith(("bos", "eos"))}
        model = tf.BertModel(tf.BertConfig(**sizes))
        with torch.no_grad():
            for weights in model.parameters():
                if weights.ndim > 1:
                    weights.normal_(0, 0.3)
    model.save_pretrained(folder)
    _tokenizer("<s>", model_max_length=48).save_pretrained(folder)
    return folder


def save_sentence_transformer(folder: Path, seed: int = 0, *, longest: int = 12) -> Path:
    """Save a BERT with word pieces learned here, as sentence-transformers saves its models."""
    import tokenizers
    import torch
    import transformers as tf

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=90, special_tokens=special, show_progress=False
    )
    pieces.train_from_iterator([_WORDS], trainer)
    pieces.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    sizes = {k: v for k, v in _TEXT.items() if not k.startswith(("bos", "eos", "vocab"))}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = tf.BertModel(tf.BertConfig(vocab_size=pieces.get_vocab_size(), **sizes))
        with torch.no_grad():
            for weights in model.parameters():
                if weights.ndim > 1:
                    weights.normal_(0, 0.3)
    model.save_pretrained(folder)
    tf.PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=longest,
    ).save_pretrained(folder)  # fmt: skip
    steps = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    kinds = "sentence_transformers.models."
    rows = [
        {"idx": n, "name": str(n), "path": path, "type": kinds + kind}
        for n, (kind, path) in enumerate(steps)
    ]
    (folder / "1_Pooling").mkdir()
    (folder / "2_Normalize").mkdir()
    for name, value in {
        "modules.json": rows,
        "sentence_bert_config.json": {"max_seq_length": longest, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": 16,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    }.items():
        (folder / name).write_text(json.dumps(value))
    return folder


def as_before_transformers_5(folder: Path) -> Path:
    """Rename and reword the settings as in most published folders; return the folder."""
    together = folder / "processor_config.json"
    settings = json.loads(together.read_text())
    part = settings.get("image_processor") or settings["feature_extractor"]
    part["processor_class"] = settings["processor_class"]
    (folder / "preprocessor_config.json").write_text(json.dumps(part))
    together.unlink()
    words = folder / "tokenizer_config.json"
    classes = {"Clap": "Roberta", "CLIP": "CLIP", "Siglip": "Siglip", "Siglip2": "Gemma"}
    name = classes[settings["processor_class"].removesuffix("Processor")]
    kept = {k: v for k, v in json.loads(words.read_text()).items() if k != "backend"}
    words.write_text(json.dumps({**kept, "tokenizer_class": f"{name}Tokenizer"}))
    return folder


def _text_of_siglip() -> dict[str, Any]:
    return {**_TEXT, "projection_size": 16}


def _tokenizer(begin: str | None, **options: Any) -> Any:
    import tokenizers
    import transformers as tf

    numbers = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token="<unk>"))
    words.normalizer = tokenizers.normalizers.Lowercase()
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    marks = [(mark, numbers[mark]) for mark in ("<s>", "</s>")]
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{begin or ''} $A </s>".strip(), special_tokens=marks
    )
    special = {"bos_token": begin, "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return tf.PreTrainedTokenizerFast(tokenizer_object=words, **special, **options)


def _letters() -> Any:
    """The class of SigLIP 2's own tokenizer, on single letters; it knows no longest text."""
    import transformers as tf

    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    return tf.Siglip2Tokenizer({mark: i for i, mark in enumerate(letters)}, padding_side="right")
