"""Models as they are published, tiny and with drawn weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from training.adoption.published import library

SIZE = 64  # pixels
START, END = 2, 3  # of the pieces of words
WORDS = """[PAD] [UNK] [CLS] [SEP] a the man woman dog cat red blue green on in with grass ball two
people stand run sit and street snow ##ing ##s ##y sk ##ate ##board ' , . - b c d ##b ##c
##d""".split()  # noqa: SIM905
SENTENCES = (
    "a man riding a skateboard down a snowy street",
    "two dogs playing with a red ball on the grass",
    "A woman's bike, standing by the beach.",
    "people sitting and running in green fields",
)
TOKENS = 300  # of the pieces of bytes
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "bos_token_id": START,
    "sep_token_id": END,
    "eos_token_id": END,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": SIZE,
    "patch_size": 16,
}
GPT2 = {"vocab_size": TOKENS, "n_layer": 3, "n_head": 4, "n_positions": 128}
NAMES = ("blip", "git", "vit-gpt2", "deit-bert", "swin-gpt2")


def word_pieces() -> Tokenizer:
    """A tokenizer of BERT's kind."""
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(WORDS[:4]))
    return tokenizer


def byte_pieces() -> Tokenizer:
    """A tokenizer of GPT-2's kind."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return tokenizer


def pictures(count: int, seed: int = 0) -> Tensor:
    """Noise: uint8 [count, 3, SIZE, SIZE]."""
    chance = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=chance, dtype=torch.uint8)


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Weights by their published names: the same wherever they are drawn. Large enough that
    sentences differ between pictures, and that some come to their end."""
    chance = torch.Generator().manual_seed(1)
    drawn = {}
    for name, shape in sorted(shapes.items()):
        values = torch.randn(tuple(shape), generator=chance)
        if len(shape) > 1:
            embeds = "embed" in name or "bias_table" in name
            scale = 0.5 if embeds else 0.3 if "wte" in name else 0.9 / shape[-1] ** 0.5
            values = values * scale
        else:
            values = values * 0.1 + (name.endswith("weight") and "norm" in name.lower())
            values = values + (name.endswith("weight") and "ln_" in name)
        if name.endswith("predictions.bias"):
            values[END] += 6.5
        if name == "output.bias":
            values[END] += 1.5
        if name.endswith("wte.weight"):
            values[0] *= 2
        drawn[name] = values
    return drawn


def make(name: str, folder: Path) -> None:
    """Write the folder of a model as the library that publishes it does."""
    from safetensors.torch import load_file, save_file

    hf = library()
    model, processor = _parts(name, hf)
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    shapes = {one: list(value.shape) for one, value in load_file(file).items()}
    save_file(weights(shapes), file, metadata={"format": "pt"})
    bytewise = name.endswith("gpt2")
    tokenizer = byte_pieces() if bytewise else word_pieces()
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    if not bytewise:
        special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.save_pretrained(folder)
    processor.save_pretrained(folder)


def _parts(name: str, hf: Any) -> tuple[Any, Any]:
    """The model and the image processor of this name."""
    square = {"height": SIZE, "width": SIZE}
    if name == "blip":
        text = {**TEXT, "encoder_hidden_size": 24, "projection_dim": 16}
        config = hf.BlipConfig(text_config=text, vision_config=VISION, projection_dim=16)
        return hf.BlipForConditionalGeneration(config), hf.BlipImageProcessor(size=square)
    if name == "git":
        processor = hf.CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=square)
        return hf.GitForCausalLM(hf.GitConfig(vision_config=VISION, **TEXT)), processor
    processor = hf.ViTImageProcessor(size=square)
    if name == "deit-bert":
        encoder, decoder = hf.DeiTConfig(**VISION), hf.BertConfig(**TEXT)
        larger = {"height": SIZE + 8, "width": SIZE + 8}
        processor = hf.DeiTImageProcessor(size=larger, crop_size=square)
    elif name == "swin-gpt2":
        encoder = hf.SwinConfig(
            image_size=SIZE, embed_dim=12, depths=[2, 2], num_heads=[2, 3], window_size=4
        )
        decoder = hf.GPT2Config(n_embd=24, bos_token_id=0, eos_token_id=0, **GPT2)
    else:
        encoder = hf.ViTConfig(**VISION)
        decoder = hf.GPT2Config(n_embd=32, bos_token_id=0, eos_token_id=0, **GPT2)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    start, end = (START, END) if name == "deit-bert" else (0, 0)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = start, end, 0
    model = hf.VisionEncoderDecoderModel(config)
    generation = model.generation_config
    generation.decoder_start_token_id, generation.eos_token_id = start, end
    generation.pad_token_id = 0
    return model, processor
