"""Tiny random models of many families, made from their configurations; windows are shorter than the tests' texts."""

from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM

WINDOW = 8
VOCABULARY = 258

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_HEADS = {"head_dim": 8}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_inner": 48}
_MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_WINDOW = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
_STATE = {"layer_types": ["linear_attention", "full_attention"]}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8}

FOREST: dict[str, dict[str, Any]] = {
    "Llama": {"model_type": "llama"},
    "Mistral": {"model_type": "mistral", "sliding_window": None, **_HEADS},
    "Mistral with a window": {"model_type": "mistral", "sliding_window": WINDOW, **_HEADS},
    "Mixtral": {"model_type": "mixtral", "sliding_window": None, **_MOE},
    "Qwen2": {"model_type": "qwen2"},
    "Qwen2 with a window": {"model_type": "qwen2", "use_sliding_window": True, **_WINDOW},
    "Qwen3": {"model_type": "qwen3", **_HEADS},
    "Qwen3-MoE": {"model_type": "qwen3_moe", **_HEADS, **_MOE},
    "Gemma": {"model_type": "gemma", **_HEADS},
    "Gemma 3": {"model_type": "gemma3_text", **_HEADS, **_WINDOW, "query_pre_attn_scalar": 8},
    "Gemma 3n": {
        "model_type": "gemma3n_text", **_HEADS, **_WINDOW, "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0, "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "OLMo": {"model_type": "olmo"},
    "OLMo 2": {"model_type": "olmo2"},
    "OLMo 3": {"model_type": "olmo3", **_WINDOW},
    "Granite": {"model_type": "granite", "logits_scaling": 2.0, "embedding_multiplier": 3.0},
    "SmolLM3": {"model_type": "smollm3", "no_rope_layers": [1, 0]},
    "GLM 4": {"model_type": "glm4", **_HEADS},
    "Phi": {"model_type": "phi"},
    "Phi-3": {"model_type": "phi3", "sliding_window": WINDOW},
    "StarCoder 2": {"model_type": "starcoder2", "sliding_window": WINDOW},
    "DeepSeek-V3": {
        "model_type": "deepseek_v3", "num_key_value_heads": 4, "q_lora_rank": 8, "kv_lora_rank": 8,
        "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "n_group": 1,
        "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1,
    },
    "EXAONE 4": {"model_type": "exaone4", **_WINDOW},
    "Cohere": {"model_type": "cohere", "logit_scale": 1.0},
    "Cohere 2": {"model_type": "cohere2", **_WINDOW, "logit_scale": 1.0},
    "GPT-NeoX": {"model_type": "gpt_neox"},
    "GPT-2": {"model_type": "gpt2", **_GPT2},
    "OPT": {"model_type": "opt", "ffn_dim": 48, "word_embed_proj_dim": 32},
}  # fmt: skip
"""Those that compute a forest on a CPU."""
PADDED: dict[str, dict[str, Any]] = {
    "Gemma 2": {"model_type": "gemma2", **_HEADS, **_WINDOW, "query_pre_attn_scalar": 8},
    "gpt-oss": {"model_type": "gpt_oss", **_HEADS, **_WINDOW, **_MOE},
    "StableLM": {"model_type": "stablelm"},
    "Falcon": {"model_type": "falcon", "ffn_hidden_size": 48},
    "GPT-Neo": {
        "model_type": "gpt_neo", "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
        "window_size": WINDOW,
    },
    "GPT-J": {"model_type": "gptj", **_GPT2, "rotary_dim": 4},
}  # fmt: skip
"""Those that are given padded batches."""
ALONE: dict[str, dict[str, Any]] = {
    "BLOOM": {"model_type": "bloom", "n_layer": 2, "n_head": 4},
    "MPT": {"model_type": "mpt", "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256, "expansion_ratio": 2},
    "Falcon with ALiBi": {"model_type": "falcon", "ffn_hidden_size": 48, "alibi": True},
    "Mamba": {"model_type": "mamba", "state_size": 8},
    "Mamba 2": {
        "model_type": "mamba2", "num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 2, "chunk_size": 8,
    },
    "Falcon Mamba": {"model_type": "falcon_mamba", "state_size": 8},
    "Qwen3-Next": {
        "model_type": "qwen3_next", **_HEADS, **_MOE, **_STATE, "linear_num_value_heads": 4,
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "shared_expert_intermediate_size": 32,
    },
    "Jamba": {
        "model_type": "jamba", **_MOE, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False,
    },
    "Bamba": {"model_type": "bamba", "attn_layer_indices": [1], **_MAMBA},
    "Falcon-H1": {"model_type": "falcon_h1", "mamba_d_ssm": 64, **_MAMBA},
    "Llama 4": {
        "model_type": "llama4_text", **_HEADS, "intermediate_size_mlp": 48, "attention_chunk_size": WINDOW,
        "layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0], "moe_layers": [0],
        "num_local_experts": 2, "attn_temperature_tuning": True, "floor_scale": 16,
    },
    "LFM2": {
        "model_type": "lfm2", "layer_types": ["conv", "full_attention"], "block_multiple_of": 16, "block_ff_dim": 48,
    },
    "MiniMax": {"model_type": "minimax", **_HEADS, **_MOE, **_STATE, "block_size": 8, "sliding_window": None},
}  # fmt: skip
"""Those that are given padded batches and sampled prompt by prompt."""
REFUSED: dict[str, dict[str, Any]] = {
    "RecurrentGemma": {
        "model_type": "recurrent_gemma", "block_types": ["recurrent", "attention"], "attention_window_size": WINDOW,
        "lru_width": 32,
    },
    "RWKV": {"model_type": "rwkv", "attention_hidden_size": 32},
}  # fmt: skip
Way = Literal["forest", "padded batches", "padded batches, prompts one by one", "refused"]
FAMILIES: dict[Way, dict[str, dict[str, Any]]] = {
    "forest": FOREST,
    "padded batches": PADDED,
    "padded batches, prompts one by one": ALONE,
    "refused": REFUSED,
}
WAYS: dict[str, Way] = {family: way for way, families in FAMILIES.items() for family in families}


def config_of(family: str) -> Any:
    """The family's configuration: 2 layers, one of each kind that it has, of 32 units."""
    settings = {**_COMMON, **FAMILIES[WAYS[family]][family]}
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def build(family: str) -> Any:
    """The family's language model in fp32."""
    torch.manual_seed(0)
    return enlarged(AutoModelForCausalLM.from_config(config_of(family), dtype=torch.float32))


def enlarged(model: Any) -> Any:
    """The model, its weights larger than they begin, so that what a token looks at makes a difference."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                torch.nn.init.normal_(weight, std=0.3)
    return model.eval()
