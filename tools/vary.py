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
largest; those of every third, too, with the tokens that `quern run` goes on
with. The files are written in one of the forms that people download: one or
several, safetensors or torch's, f32, bf16 or f16, config.json as transformers
4 or 5 spell it. Needs PyTorch, transformers, safetensors.

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
N_GREEDY = 6
TOLERANCE = 2e-4
# How a checkpoint lies; half of them are plain.
FORMS = ["plain", "bf16", "f16", "shards", "bin", "old bin", "bins", "v4"]

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
    "head_dim": [6, 8, 16, 20, 24, 32], "hidden_size": [64, 96, 72, 128],
    "n_embd": [64, 96, 40], "d_model": [64, 128, 72],
    "intermediate_size": [96, 101, 160, 224], "n_inner": [None, 96, 77],
    "ffn_dim": [96, 101, 256], "moe_intermediate_size": [32, 48, 35],
    "shared_expert_intermediate_size": [32, 64, 21],
    "vocab_size": [257, 301, 512], "max_position_embeddings": [52, 64, 256],
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
    {"rope_type": "linear", "factor": 3.7, "rope_theta": 500.0},
    {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    {"rope_type": "dynamic", "factor": 1.3, "rope_theta": 10000.0},
    YARN,
    {**YARN, "factor": 2.5, "truncate": False},
    {**YARN, "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    {**YARN, "factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0,
     "attention_factor": 1.1},
    {**YARN, "mscale": 0.8, "mscale_all_dim": 0.6},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
     "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
     "rope_theta": 10000.0},
]
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "moe_k", "top_k_experts")
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


def long_rope(c, r):
    """Factors for each frequency, of which the prompt needs the long ones."""
    heads = c.get("num_attention_heads") or 1
    width = c.get("head_dim") or c.get("hidden_size", 64) // heads
    n = int(width * (c["rope_parameters"].get("partial_rotary_factor") or 1)) // 2
    lists = {k: [round(r.uniform(1, 4), 2) for _ in range(n)] for k in ("short_factor", "long_factor")}
    return {"rope_type": "longrope", "rope_theta": 10000.0, "factor": r.choice([1.0, 4.0, 7.5]),
            "original_max_position_embeddings": r.choice([16, 128]), **lists}


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
        new = long_rope(c, r) if r.random() < 0.15 else dict(r.choice(ROTATIONS))
        if "partial_rotary_factor" in rotation:
            new["partial_rotary_factor"] = r.choice([rotation["partial_rotary_factor"], 1.0, 0.5])
        c["rope_parameters"] = done["rope_parameters"] = new
    kinds = sorted(set(c.get("layer_types") or []))
    if len(kinds) > 1 and r.random() < 0.25:
        c["layer_types"] = done["layer_types"] = [r.choice(kinds) for _ in c["layer_types"]]
    if r.random() < 0.15:
        done["layers"] = vary_layers(c, r)
    experts, chosen = (next((k for k in keys if isinstance(c.get(k), int)), None) for keys in (EXPERTS, CHOSEN))
    if experts and chosen and r.random() < 0.1:
        c[chosen] = done[chosen] = c[experts]
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
              if b.dtype == torch.float32 and "bias" in n and not n.endswith(("attn.bias", "attention.bias"))]
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


def older(c):
    """The configuration as transformers 4 wrote it, where that is plain."""
    rope = c.get("rope_parameters")
    if rope and ("rope_type" not in rope or rope["rope_type"] == "longrope"):
        return
    if rope:
        del c["rope_parameters"]
        partial = rope.pop("partial_rotary_factor", None)
        neox = c["model_type"] == "gpt_neox"
        c["rotary_emb_base" if neox else "rope_theta"] = rope.pop("rope_theta")
        if partial is not None:
            c["rotary_pct" if neox else "partial_rotary_factor"] = partial
        c["rope_scaling"] = rope  # of type "default", too: null may mean something else
    if "dtype" in c:
        c["torch_dtype"] = c.pop("dtype")


def as_torch(folder, form, tied):
    """The weights of model.safetensors as torch.save writes them, some as parts
    of larger storages or on their side."""
    import torch
    from safetensors.torch import load_file

    w = load_file(folder + "/model.safetensors")
    os.remove(folder + "/model.safetensors")
    for j, (name, t) in enumerate(list(w.items())):
        if j % 3 == 1 and t.ndim == 2:
            w[name] = t.t().contiguous().t()
        elif j % 3 == 2 and t.ndim:
            w[name] = torch.cat([t[:1] * 0 + 7, t])[1:]
    table = next((k for k in w if k.endswith(("embed_tokens.weight", "wte.weight"))), None)
    if tied and table and "lm_head.weight" not in w:
        w["lm_head.weight"] = w[table]
    if form != "bins":
        torch.save(w, folder + "/pytorch_model.bin", _use_new_zipfile_serialization=form == "bin")
        return
    files = [f"pytorch_model-0000{k}-of-00002.bin" for k in (1, 2)]
    where = {name: files[j % 2] for j, name in enumerate(w)}
    for f in files:
        torch.save({k: v for k, v in w.items() if where[k] == f}, f"{folder}/{f}")
    with open(folder + "/pytorch_model.bin.index.json", "w") as f:
        json.dump({"metadata": {}, "weight_map": where}, f)


def save(model, folder, form):
    """What people download, in this form."""
    import torch

    if form in ("bf16", "f16"):
        model.to(torch.bfloat16 if form == "bf16" else torch.float16)
    model.save_pretrained(folder, **({"max_shard_size": "60KB"} if form == "shards" else {}))
    if "bin" in form:
        as_torch(folder, form, getattr(model.config, "tie_word_embeddings", False))
    if form == "v4":
        with open(folder + "/config.json") as f:
            c = json.load(f)
        older(c)
        with open(folder + "/config.json", "w") as f:
            json.dump(c, f)


def rounded(model, form):
    """Weights that the form's type can hold."""
    import torch

    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(form)
    for t in model.state_dict().values() if dtype else ():
        if t.is_floating_point():
            t.copy_(t.to(dtype).to(t.dtype))


def goes_on(model, ids):
    """The tokens that are the largest by far, one after the other."""
    import torch

    out = []
    for _ in range(N_GREEDY):
        row = model(torch.tensor([ids + out]), use_cache=False).logits[0, -1].float()
        best = row.topk(2).values
        if best[0] - best[1] < 10 * TOLERANCE * row.abs().max():
            break
        out.append(int(row.argmax()))
    return out


def quern_goes_on(args, folder, ids, want):
    """What is wrong with the tokens of `quern run`, or None."""
    p = subprocess.run([args.quern, "run", "--model", folder, "--exact", "--threads", "2", "--token-ids",
                        ",".join(map(str, ids)), "--ignore-eos", "--temperature", "0", "--max-new-tokens",
                        str(len(want)), "-o", "json"], capture_output=True, text=True, timeout=120)
    if p.returncode:
        return p.stderr.strip().replace("\n", " ")[-200:]
    got = json.loads(p.stdout)["token_ids"]
    return None if got == want else f"goes on with {got}, wanted {want}"


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
    form = r.choice(FORMS) if i and r.random() < 0.5 else FORMS[0]
    if form != FORMS[0]:
        done["form"] = form
    go_on = []
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
            rounded(model, form)
            want = model(torch.tensor([ids]), use_cache=False).logits[0].float()
            if i % 3 == 2:
                go_on = goes_on(model, ids)  # prompts have 44 tokens, contexts 52 at least
        if not torch.isfinite(want).all():
            raise ValueError("logits are not finite")
        save(model, folder, form)
    except Exception as e:  # whatever: it is no network of transformers
        shutil.rmtree(folder)
        return family, i, done, "SKIPPED", f"{type(e).__name__}: {e}"[:100]
    p = subprocess.run([args.quern, "logits", folder, "--exact", "--threads", "1", "--token-ids",
                        ",".join(map(str, ids)), "--output", folder + "-got.safetensors"],
                       capture_output=True, text=True, timeout=120)
    if p.returncode:
        said = p.stderr.strip().replace("\n", " ")[-200:]
        return family, i, done, "REFUSED" if p.returncode in (1, 2) else "CRASH", said
    got = load_file(folder + "-got.safetensors")["logits"]
    os.remove(folder + "-got.safetensors")
    off = ((got - want).abs().max() / want.abs().max()).item()
    wrong = f"off by {off:.3g} of the largest" if off > TOLERANCE else None
    if go_on and not wrong:
        wrong = quern_goes_on(args, folder, ids, go_on)
    if not wrong:
        shutil.rmtree(folder)
        return family, i, done, "same", ""
    save_file({"want": want}, folder + "/want.safetensors")
    return family, i, done, "WRONG", wrong


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
