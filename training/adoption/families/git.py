"""GIT (Wang et al., TMLR 2022): CLIP's vision transformer, whose features are the first words."""

from __future__ import annotations

from training.adoption.families.bert import IDLE, Config, bert_shape, bert_weights
from training.adoption.families.family import Family, Parts, vision_shape
from training.adoption.model.decoder import TransformerDecoder
from training.adoption.model.vision import Levels, VisionTransformer
from training.adoption.weights import AdoptionError, Published, fill

VISION = "git.image_encoder.vision_model."
PROJECTION = "git.visual_projection.visual_projection."
LAYER = {
    "norm1": "layer_norm1",
    "out": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def build(config: Config, levels: Levels, take: Published) -> Parts:
    """The parts of GIT for captions of single pictures."""
    if config["num_image_with_embedding"]:
        raise AdoptionError("This GIT describes videos; expected one that describes pictures.")
    vision = config["vision_config"]
    shape = vision_shape(
        vision,
        norm_first=True,
        patch_bias=False,
        project=config["hidden_size"],
        project_norm=True,
    )
    encoder = VisionTransformer(shape, levels)
    weights = {
        "first": take(f"{VISION}embeddings.class_embedding").view(1, 1, -1),
        "position": take(f"{VISION}embeddings.position_embedding.weight").unsqueeze(0),
        "patch.weight": take(f"{VISION}embeddings.patch_embedding.weight"),
        **take.pair("norm0", f"{VISION}pre_layrnorm"),
        **take.pair("norm", f"{VISION}post_layernorm"),
        **take.pair("project", f"{PROJECTION}0"),
        **take.pair("project_norm", f"{PROJECTION}1"),
    }
    for i in range(shape.layers):
        layer = f"{VISION}encoder.layers.{i}."
        three = [f"{layer}self_attn.{one}_proj" for one in "qkv"]
        weights |= take.pair(f"layers.{i}.qkv", *three)
        for ours, theirs in LAYER.items():
            weights |= take.pair(f"layers.{i}.{ours}", f"{layer}{theirs}")
    tied = take.tied("output.weight", "git.embeddings.word_embeddings.weight")
    words = bert_shape(config, seen=0, head=False, tied=tied)
    decoder = TransformerDecoder(words, encoder.extra)
    said = bert_weights(take, "git.", words) | {"output.bias": take("output.bias")}
    if not tied:
        said["output.weight"] = take("output.weight")
    take.check([*IDLE, r"output\.weight"])
    fill(encoder, weights)
    fill(decoder, said)
    return Parts(encoder, decoder, start=config["bos_token_id"], end=config["eos_token_id"])


FAMILY = Family("GitForCausalLM", build, prompted=True)
