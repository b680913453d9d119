"""BLIP (Li et al., ICML 2022): a vision transformer, and BERT that looks at it."""

from __future__ import annotations

from training.adoption.families.bert import IDLE, Config, bert_head, bert_shape, bert_weights
from training.adoption.families.family import Family, Parts, vision_shape
from training.adoption.model.decoder import TransformerDecoder
from training.adoption.model.vision import Levels, VisionTransformer
from training.adoption.weights import Published, fill

VISION, TEXT = "vision_model.", "text_decoder."
HEAD, WORDS = f"{TEXT}cls.predictions.", f"{TEXT}bert.embeddings.word_embeddings.weight"
LAYER = {
    "norm1": "layer_norm1",
    "qkv": "self_attn.qkv",
    "out": "self_attn.projection",
    "norm2": "layer_norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def build(config: Config, levels: Levels, take: Published) -> Parts:
    """The parts of BLIP for captions."""
    vision, text = config["vision_config"], config["text_config"]
    shape = vision_shape(vision)
    encoder = VisionTransformer(shape, levels)
    weights = {
        "first": take(f"{VISION}embeddings.class_embedding"),
        "position": take(f"{VISION}embeddings.position_embedding"),
        **take.pair("patch", f"{VISION}embeddings.patch_embedding"),
        **take.pair("norm", f"{VISION}post_layernorm"),
    }
    for i in range(shape.layers):
        for ours, theirs in LAYER.items():
            weights |= take.pair(f"layers.{i}.{ours}", f"{VISION}encoder.layers.{i}.{theirs}")
    tied = take.tied(f"{HEAD}decoder.weight", WORDS)
    words = bert_shape(text, seen=text["encoder_hidden_size"], head=True, tied=tied)
    decoder = TransformerDecoder(words, encoder.extra)
    said = bert_weights(take, f"{TEXT}bert.", words) | bert_head(take, HEAD, words)
    take.check([*IDLE, rf"{TEXT}cls\.predictions\.decoder\.(weight|bias)"])
    fill(encoder, weights)
    fill(decoder, said)
    return Parts(encoder, decoder, start=text["bos_token_id"], end=text["sep_token_id"])


FAMILY = Family("BlipForConditionalGeneration", build)
