#!/usr/bin/env python3
"""Varied networks of every family: does quern compute what transformers does?

    tools/vary.py QUERN REFERENCES [--families a,b] [--each N] [--seed S]
                  [--keep DIR] [--jobs J]

REFERENCES has a folder with a config.json per family (tests/data/models, or
goldens/models of the shared data). Each is opened N times: once as it is, then
with one to three of its settings, its rotation, its number of layers or the
kinds of its layers changed at random; of networks that see, those of the one
that reads. The network gets random weights, and the logits of 44 tokens are
compared in float32 with those of `quern logits --exact`: at most 2e-4 of the
largest. Needs PyTorch, transformers, safetensors.

Prints a line for every network that differs (WRONG, kept under --keep), that
quern does not open (REFUSED, with its message) or that ends it (CRASH); what
transformers itself does not take is skipped. Status 1 if any is WRONG or a
CRASH. Some settings are without effect in transformers; docs/models.md lists
where the two disagree for a reason.
"""
import argparse
import collections
import json
import logging
import math
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

INF = float("inf")
N_TOKENS = 44
TOLERANCE = 2e-4

FLAGS = """
tie_word_embeddings attention_bias mlp_bias use_bias bias use_qkv_bias qkv_bias
use_qk_norm qk_layernorm norm_topk_prob use_parallel_residual parallel_attn
multi_query new_decoder_architecture rope_interleave use_expert_bias conv_bias
mamba_conv_bias mamba_proj_bias use_conv_bias mamba_rms_norm
mamba_norm_before_gate scale_embedding attention_out_bias lm_head_bias
attention_k_eq_v use_double_wide_mlp mup_enabled scale_attn_weights
scale_attn_by_inverse_layer_idx attn_temperature_tuning altup_correct_scale
enable_bias residual_in_fp32 do_layer_norm_before _remove_final_layer_norm
layer_norm_elementwise_affine alibi projectors_bias use_sliding_window
apply_residual_connection_post_layernorm
""".split()
ACTS = ["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu2"]
VALUES = {
    "num_key_value_heads": [1, 2, 4], "num_kv_heads": [1, 2, 4],
    "num_attention_heads": [2, 4, 8], "n_head": [2, 4, 8],
    "head_dim": [8, 16, 24, 32], "hidden_size": [64, 96, 128],
    "n_embd": [64, 96], "d_model": [64, 128],
    "intermediate_size": [96, 160, 224], "n_inner": [None, 96],
    "ffn_dim": [96, 256], "moe_intermediate_size": [32, 48],
    "shared_expert_intermediate_size": [32, 64],
    "num_experts": [4, 6, 8], "num_local_experts": [4, 6, 8],
    "n_routed_experts": [4, 8], "moe_num_experts": [4, 6],
    "num_experts_per_tok": [1, 2, 3], "experts_per_token": [1, 2, 3],
    "moe_k": [1, 2, 3], "moe_topk": [1, 2], "n_shared_experts": [1, 2],
    "num_shared_experts": [1, 2], "moe_num_shared_experts": [1, 2],
    "first_k_dense_replace": [0, 1, 2], "num_dense_layers": [0, 1, 2],
    "n_group": [1, 2, 4], "topk_group": [1, 2],
    "routed_scaling_factor": [1.0, 2.5, 0.7], "route_scale": [1.0, 2.0],
    "topk_method": ["greedy", "group_limited_greedy", "noaux_tc"],
    "decoder_sparse_step": [1, 2], "mlp_only_layers": [[], [0]],
    "sliding_window": [8, 16, None], "window_size": [8, 16],
    "max_window_layers": [0, 1, 2], "attention_chunk_size": [8, 16],
    "hidden_act": ACTS, "activation_function": ACTS[:5],
    "activation": ["gelu", "relu"], "mlp_hidden_act": ["relu2", "silu"],
    "final_logit_softcapping": [None, 5.0],
    "query_pre_attn_scalar": [16, 32, 7], "logit_scale": [0.25, 1.0],
    "logits_scaling": [1.0, 3.0], "residual_multiplier": [1.0, 0.4],
    "embedding_multiplier": [1.0, 3.0], "attention_multiplier": [0.25, 0.05],
    "rms_norm_eps": [1e-6, 1e-3], "layer_norm_eps": [1e-6, 1e-3],
    "layer_norm_epsilon": [1e-3], "norm_eps": [1e-3], "norm_epsilon": [1e-3],
    "lm_head_multiplier": [0.5, 2.0], "attention_in_multiplier": [0.7],
    "attention_out_multiplier": [0.7], "key_multiplier": [0.5],
    "ssm_in_multiplier": [0.6], "ssm_out_multiplier": [1.3],
    "mlp_multipliers": [[0.7, 1.2]],
    "ssm_multipliers": [[0.7, 0.8, 0.9, 1.1, 1.2]],
    "attn_layer_period": [1, 2, 3], "attn_layer_offset": [0, 1],
    "expert_layer_period": [1, 2], "expert_layer_offset": [0, 1],
    "conv_L_cache": [2, 3, 4], "mamba_d_conv": [2, 3, 4],
    "conv_kernel": [2, 3, 4], "n_groups": [1, 2], "mamba_n_groups": [1, 2],
    "state_size": [8, 16], "mamba_d_state": [8, 16, 24], "expand": [1, 2],
    "linear_num_value_heads": [2, 4, 6], "linear_num_key_heads": [1, 2],
    "linear_key_head_dim": [8, 16], "linear_value_head_dim": [8, 16],
    "linear_conv_kernel_dim": [2, 3, 4], "full_attention_interval": [1, 2, 3],
    "num_kv_shared_layers": [0, 1, 2], "altup_num_inputs": [2, 3],
    "laurel_rank": [8, 12], "clip_qkv": [None, 0.5],
    "q_lora_rank": [None, 32, 20], "kv_lora_rank": [24, 32],
    "qk_nope_head_dim": [16, 8], "qk_rope_head_dim": [8, 16],
    "v_head_dim": [16, 24, 8], "floor_scale": [4, 8], "attn_scale": [0.1, 0.3],
    "interleave_moe_layer_step": [1, 2], "no_rope_layer_interval": [2, 4],
    "rotary_dim": [8, 16, 4], "moe_layer_start_index": [0, 1],
    "moe_layer_interval": [1, 2], "initial_context_length": [16, 64],
    "global_attn_every_n_layers": [2, 4],
    "position_embedding_type": ["nope", "rope"],
    "num_ln_in_parallel_attn": [None, 1, 2], "word_embed_proj_dim": [64, 32],
    "hidden_size_per_layer_input": [16, 8], "block_auto_adjust_ff_dim": [True, False],
    "block_ffn_dim_multiplier": [1.0, 1.3],
    **{flag: [True, False] for flag in FLAGS},
}
NESTED = {"clip_qkv": [None, 0.5], "rope_theta": [1000.0],
          "softmax_scale": [None, 0.3], "moe_top_k": [1, 2, 3],
          "moe_num_experts": [4, 6], "ffn_hidden_size": [48, 64]}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0,
        "original_max_position_embeddings": 32}
ROTATIONS = [
    {"rope_type": "default", "rope_theta": 5000.0},
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
    {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    YARN,
    {**YARN, "factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0,
     "attention_factor": 1.1},
    {**YARN, "mscale": 0.8, "mscale_all_dim": 0.6},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
     "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
     "rope_theta": 10000.0},
]
DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def vary_layers(c, r):
    """Another number of layers; lists with an entry each follow."""
    n = r.choice([1, 3, 5])
    key = next(k for k in DEPTHS if k in c)
    old, c[key] = c[key], n
    for k, v in c.items():
        if isinstance(v, list) and len(v) == old and not k.endswith(("_multipliers", "_limit")):
            c[k] = (v * 5)[:n]
    return n


def vary(c, r):
    """Changes the configuration; returns what was changed."""
    done = {}
    keys = [k for k in VALUES if k in c]
    for k in r.sample(keys, min(r.choice([1, 1, 2, 3]), len(keys))):
        v = r.choice(VALUES[k])
        if c[k] != v:
            c[k] = done[k] = v
    rotation = c.get("rope_parameters")
    if rotation and "rope_type" in rotation and r.random() < 0.35:
        new = dict(r.choice(ROTATIONS))
        if "partial_rotary_factor" in rotation:
            new["partial_rotary_factor"] = r.choice([rotation["partial_rotary_factor"], 1.0, 0.5])
        c["rope_parameters"] = done["rope_parameters"] = new
    kinds = sorted(set(c.get("layer_types") or []))
    if len(kinds) > 1 and r.random() < 0.25:
        c["layer_types"] = done["layer_types"] = [r.choice(kinds) for _ in c["layer_types"]]
    if r.random() < 0.15:
        done["layers"] = vary_layers(c, r)
    if "enable_moe_block" in c:  # Gemma 4
        c["per_layer_config"] = {str(i): {"head_dim": 32} for i, t in enumerate(c["layer_types"])
                                 if t == "full_attention"}
        if r.random() < 0.6:
            done["experts"] = {"enable_moe_block": True, "num_experts": r.choice([4, 6]),
                               "top_k_experts": r.choice([1, 2, 3]), "moe_intermediate_size": 48}
            c.update(done["experts"])
    for part in ("attn_config", "ffn_config"):
        inner = c.get(part)
        fit = [k for k in NESTED if isinstance(inner, dict) and k in inner]
        if fit and r.random() < 0.4:
            k = r.choice(fit)
            inner[k] = done[part + "." + k] = r.choice(NESTED[k])
    return done


def numbers(o):
    """The shared data writes infinity as {"__float__": "Infinity"}."""
    if isinstance(o, dict):
        if set(o) == {"__float__"}:
            return float(o["__float__"].replace("Infinity", "inf"))
        return {k: numbers(v) for k, v in o.items()}
    return [numbers(v) for v in o] if isinstance(o, list) else o


def fill(model, torch):
    """Weights under which every part of the network is heard."""
    biases = [(n, b) for n, b in model.named_buffers()
              if b.dtype == torch.float32 and "bias" in n]
    for name, p in list(model.named_parameters()) + biases:
        if "A_log" in name:
            p.add_(torch.randn_like(p) * 0.1)
        elif p.ndim < 2:
            p.add_(torch.randn_like(p) * 0.15)
        elif name.endswith("conv1d.weight"):
            p.normal_(0, 0.5)
        elif "embed" in name or "wte" in name:
            p.normal_(0, 0.6)
        else:
            p.normal_(0, 1.3 / math.sqrt(p.shape[-1]))


def compare(job):
    args, family, i = job
    import torch
    from safetensors.torch import load_file, save_file
    import transformers
    from transformers import AutoConfig

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    r = random.Random(f"{family}/{i}/{args.seed}")
    torch.manual_seed(r.randrange(1 << 30))
    with open(f"{args.references}/{family}/config.json") as f:
        c = numbers(json.load(f))
    c.pop("transformers_version", None)
    done = vary(c.get("text_config", c), r) if i else {}
    folder = f"{args.keep}/{family}-{i}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    ids = [r.randrange(5, 250) for _ in range(N_TOKENS)]
    try:
        with open(folder + "/config.json", "w") as f:
            json.dump(c, f)
        config = AutoConfig.from_pretrained(folder)
        # Falcon's eager attention adds ALiBi twice
        how = "sdpa" if c["model_type"] == "falcon" else "eager"
        kinds = transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText
        kind = next(k for k in kinds if type(config) in k._model_mapping)
        model = kind.from_config(config, attn_implementation=how, dtype=torch.float32).eval()
        with torch.no_grad():
            fill(model, torch)
            want = model(torch.tensor([ids]), use_cache=False).logits[0].float()
        if not torch.isfinite(want).all():
            raise ValueError("logits are not finite")
        model.save_pretrained(folder)
    except Exception as e:  # whatever: it is no network of transformers
        shutil.rmtree(folder)
        return family, i, done, "SKIPPED", f"{type(e).__name__}: {e}"[:100]
    p = subprocess.run([args.quern, "logits", folder, "--exact", "--threads", "1", "--token-ids",
                        ",".join(map(str, ids)), "--output", folder + "/got.safetensors"],
                       capture_output=True, text=True, timeout=120)
    if p.returncode:
        said = p.stderr.strip().replace("\n", " ")[-200:]
        return family, i, done, "REFUSED" if p.returncode in (1, 2) else "CRASH", said
    got = load_file(folder + "/got.safetensors")["logits"]
    off = ((got - want).abs().max() / want.abs().max()).item()
    if off <= TOLERANCE:
        shutil.rmtree(folder)
        return family, i, done, "same", ""
    save_file({"want": want}, folder + "/want.safetensors")
    return family, i, done, "WRONG", f"off by {off:.3g} of the largest"


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("quern")
    a.add_argument("references")
    a.add_argument("--families", help="only these, with commas between")
    a.add_argument("--each", type=int, default=8)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--keep", default=None)
    a.add_argument("--jobs", type=int, default=os.cpu_count())
    args = a.parse_args()
    args.keep = args.keep or tempfile.mkdtemp(prefix="quern-vary-")
    os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    names = sorted(n for n in os.listdir(args.references)
                   if os.path.exists(f"{args.references}/{n}/config.json"))
    if args.families:
        names = [n for n in names if n in args.families.split(",")]
    jobs = [(args, n, i) for i in range(args.each) for n in names]
    counts = collections.Counter()
    with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=100) as pool:
        for family, i, done, verdict, why in pool.imap_unordered(compare, jobs):
            counts[verdict] += 1
            if verdict not in ("same", "SKIPPED"):
                print(verdict, family, i, json.dumps(done), why, flush=True)
    print(", ".join(f"{n} {v}" for v, n in counts.most_common()), f"({args.keep})")
    return 1 if counts["WRONG"] + counts["CRASH"] else 0


if __name__ == "__main__":
    sys.exit(main())
