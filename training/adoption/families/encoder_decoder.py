"""Models that ``transformers`` joins of a vision encoder (ViT, DeiT, Swin) and a decoder (GPT-2,
BERT)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.adoption.families.bert import IDLE, Config, bert_head, bert_shape, bert_weights
from training.adoption.families.family import Family, Parts, vision_shape
from training.adoption.model.decoder import TextShape, TransformerDecoder
from training.adoption.model.swin import Merge, SwinShape, SwinTransformer
from training.adoption.model.vision import Levels, VisionTransformer
from training.adoption.weights import AdoptionError, Published, fill

VISION = "encoder."
LAYER = {
    "norm1": "layernorm_before",
    "out": "attention.output.dense",
    "norm2": "layernorm_after",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
# What only other tasks need, and what GPT-2 once saved of its masks.
UNUSED = (
    r"encoder\.pooler\..*",
    r"encoder\..*relative_position_index",
    r"decoder\.transformer\.h\.\d+\.(attn|crossattention)\.(masked_)?bias",
    r"decoder\.lm_head\.weight",
    r"decoder\.cls\.predictions\.decoder\.(weight|bias)",
)


def build(config: Config, levels: Levels, take: Published) -> Parts:
    """The parts of such a model."""
    vision, text = config["encoder"], config["decoder"]
    kinds = vision["model_type"], text["model_type"]
    if kinds[0] not in ("vit", "deit", "swin") or kinds[1] not in ("gpt2", "bert"):
        raise AdoptionError(
            f"The model joins {kinds[0]} and {kinds[1]}; known are vit, deit and swin with gpt2 "
            "and bert."
        )
    wide = text["n_embd"] if kinds[1] == "gpt2" else text["hidden_size"]
    project = 0 if vision["hidden_size"] == wide else wide
    encoder, weights = (_swin if kinds[0] == "swin" else _vit)(vision, levels, take, project)
    if project:
        weights |= take.pair("project", "enc_to_dec_proj")
    shape, said = (_gpt2 if kinds[1] == "gpt2" else _bert)(text, take)
    decoder = TransformerDecoder(shape, encoder.extra)
    take.check([*IDLE, *UNUSED])
    fill(encoder, weights)
    fill(decoder, said)
    start = _either(config, text, "decoder_start_token_id", "bos_token_id")
    return Parts(encoder, decoder, start, _either(config, text, "eos_token_id", "eos_token_id"))


def _either(config: Config, text: Config, name: str, otherwise: str) -> int:
    """An id of the whole model's, or else of its decoder's."""
    found = config.get(name)
    found = text.get(otherwise) if found is None else found
    if not isinstance(found, int):
        raise AdoptionError(f"config.json must have a {name}, a whole number, but has {found!r}.")
    return found


def _vit(
    config: Config, levels: Levels, take: Published, project: int
) -> tuple[VisionTransformer, dict[str, Tensor]]:
    taught = config["model_type"] == "deit"
    shape = vision_shape(config, extra=2 if taught else 1, project=project)
    embeddings = f"{VISION}embeddings."
    first = [f"{embeddings}cls_token"] + [f"{embeddings}distillation_token"] * taught
    weights = {
        "first": take(*first, axis=1),
        "position": take(f"{embeddings}position_embeddings"),
        **take.pair("patch", f"{embeddings}patch_embeddings.projection"),
        **take.pair("norm", f"{VISION}layernorm"),
    }
    for i in range(shape.layers):
        weights |= _layer(take, f"layers.{i}", f"{VISION}encoder.layer.{i}.", "attention.attention")
    return VisionTransformer(shape, levels), weights


def _layer(take: Published, ours: str, theirs: str, attention: str) -> dict[str, Tensor]:
    three = [f"{theirs}{attention}.{one}" for one in ("query", "key", "value")]
    weights = take.pair(f"{ours}.qkv", *three)
    for name, source in LAYER.items():
        weights |= take.pair(f"{ours}.{name}", f"{theirs}{source}")
    return weights


def _swin(
    config: Config, levels: Levels, take: Published, project: int
) -> tuple[SwinTransformer, dict[str, Tensor]]:
    if config["use_absolute_embeddings"]:
        raise AdoptionError("A Swin with absolute positions is not known here.")
    shape = SwinShape(
        image_size=config["image_size"],
        patch=config["patch_size"],
        width=config["embed_dim"],
        layers=tuple(config["depths"]),
        heads=tuple(config["num_heads"]),
        window=config["window_size"],
        ratio=config["mlp_ratio"],
        activation=config["hidden_act"],
        eps=config["layer_norm_eps"],
        project=project,
    )
    encoder = SwinTransformer(shape, levels)
    weights = {
        **take.pair("patch", f"{VISION}embeddings.patch_embeddings.projection"),
        **take.pair("norm0", f"{VISION}embeddings.norm"),
        **take.pair("norm", f"{VISION}layernorm"),
    }
    stage, block = 0, 0
    for i, layer in enumerate(encoder.layers):
        theirs = f"{VISION}encoder.layers.{stage}."
        if isinstance(layer, Merge):
            weights |= take.pair(f"layers.{i}.norm", f"{theirs}downsample.norm")
            weights[f"layers.{i}.reduction.weight"] = take(f"{theirs}downsample.reduction.weight")
            stage, block = stage + 1, 0
            continue
        theirs = f"{theirs}blocks.{block}."
        weights |= _layer(take, f"layers.{i}", theirs, "attention.self")
        bias = f"{theirs}attention.self.relative_position_bias_table"
        weights[f"layers.{i}.bias"] = take(bias)
        block += 1
    return encoder, weights


def _bert(config: Config, take: Published) -> tuple[TextShape, dict[str, Tensor]]:
    prefix, head = "decoder.bert.", "decoder.cls.predictions."
    tied = take.tied(f"{head}decoder.weight", f"{prefix}embeddings.word_embeddings.weight")
    shape = bert_shape(config, seen=config["hidden_size"], head=True, tied=tied)
    return shape, bert_weights(take, prefix, shape) | bert_head(take, head, shape)


def _gpt2(config: Config, take: Published) -> tuple[TextShape, dict[str, Tensor]]:
    prefix, width = "decoder.transformer.", config["n_embd"]
    shape = TextShape(
        vocabulary=config["vocab_size"],
        width=width,
        layers=config["n_layer"],
        heads=config["n_head"],
        inner=config["n_inner"] or 4 * width,
        activation=config["activation_function"],
        eps=config["layer_norm_epsilon"],
        positions=config["n_positions"],
        norm_first=True,
        seen=width,
        head=False,
        tied=take.tied("decoder.lm_head.weight", f"{prefix}wte.weight"),
    )
    weights = {
        "embedding.weight": take(f"{prefix}wte.weight"),
        "position.weight": take(f"{prefix}wpe.weight"),
        "kind": torch.zeros(width),
        **take.pair("norm", f"{prefix}ln_f"),
        "output.bias": torch.zeros(shape.vocabulary),
    }
    if not shape.tied:
        weights["output.weight"] = take("decoder.lm_head.weight")
    turned = {
        "qkv": "attn.c_attn",
        "out": "attn.c_proj",
        "cross_q": "crossattention.q_attn",
        "cross_kv": "crossattention.c_attn",
        "cross_out": "crossattention.c_proj",
        "fc1": "mlp.c_fc",
        "fc2": "mlp.c_proj",
    }
    plain = {"norm1": "ln_1", "norm_cross": "ln_cross_attn", "norm2": "ln_2"}
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"{prefix}h.{i}."
        for name, source in turned.items():  # GPT-2 keeps its matrices transposed
            weights[f"{ours}{name}.weight"] = take(f"{theirs}{source}.weight").T
            weights[f"{ours}{name}.bias"] = take(f"{theirs}{source}.bias")
        for name, source in plain.items():
            weights |= take.pair(f"{ours}{name}", f"{theirs}{source}")
    return shape, weights


FAMILY = Family("VisionEncoderDecoderModel", build)
