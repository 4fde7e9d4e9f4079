#!/usr/bin/env python3
"""compute.py: networks in numpy (Debian: python3-numpy), from their papers and
configuration keys: Bloom and OLMoE for settings that the other references lack,
DeepSeek's first, Falcon Mamba, the first GPT and Mellum, which have no other.

    ./compute.py --check FOLDER...  those of transformers: how far off is this?
    ./compute.py [NAME...]          makes those anew that nobody else computed
"""
import json
import os
import struct
import sys

import numpy as np

DTYPES = {"F32": np.float32, "I64": np.int64}
NAMES = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}


def load(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(n))
        data = f.read()
    head.pop("__metadata__", None)
    return {k: np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], DTYPES[v["dtype"]])
            .reshape(v["shape"]) for k, v in head.items()}


def save(path, tensors):
    head, data = {}, b""
    for k, v in tensors.items():
        raw = np.ascontiguousarray(v).tobytes()
        head[k] = {"dtype": NAMES[v.dtype], "shape": list(v.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, bias):
    """q, k, v [heads, n, d]; each of q's heads with one of k's."""
    k, v = (np.repeat(t, len(q) // len(t), 0) for t in (k, v))
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + bias
    n = s.shape[-1]
    s = np.where(np.tri(n, dtype=bool), s, -np.inf)
    return (softmax(s) @ v).transpose(1, 0, 2).reshape(n, -1)


def bloom(c, w, ids):
    heads, eps = c["n_head"], c["layer_norm_epsilon"]
    stream = c["apply_residual_connection_post_layernorm"]

    def norm(name, x):
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]

    def linear(name, x):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    h = norm("word_embeddings_layernorm", w["word_embeddings.weight"][ids])
    n = len(ids)
    slopes = 2.0 ** (-8.0 / heads * np.arange(1, heads + 1))  # heads: a power of two
    bias = slopes[:, None, None] * (np.arange(n)[None, None, :] - np.arange(n)[None, :, None])
    for i in range(c["n_layer"]):
        p = f"h.{i}."
        x = norm(p + "input_layernorm", h)
        qkv = linear(p + "self_attention.query_key_value", x).reshape(n, heads, 3, -1).transpose(2, 1, 0, 3)
        h = (x if stream else h) + linear(p + "self_attention.dense", attend(*qkv, bias))
        x = norm(p + "post_attention_layernorm", h)
        y = gelu_tanh(linear(p + "mlp.dense_h_to_4h", x))
        h = (x if stream else h) + linear(p + "mlp.dense_4h_to_h", y)
    return norm("ln_f", h) @ w["word_embeddings.weight"].T


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(y):
    return 0.5 * y * (1 + np.tanh(0.79788456 * y * (1 + 0.044715 * y * y)))


def olmoe(c, w, ids):
    """And DeepSeek's first: without norms of q and k; the first layers have one
    feed-forward, the others one more that every token visits."""
    heads, n_kv, eps = (c[k] for k in ("num_attention_heads", "num_key_value_heads", "rms_norm_eps"))
    n, used, clip = len(ids), c["num_experts_per_tok"], c.get("clip_qkv")

    def norm(name, x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name + ".weight"]

    def dense(p, x):
        return (silu(x @ w[p + "gate_proj.weight"].T) * (x @ w[p + "up_proj.weight"].T)) @ w[p + "down_proj.weight"].T

    def experts(p, x, scores):
        rows = np.zeros_like(x)
        for t in range(n):
            for e in np.argsort(-scores[t], kind="stable")[:used]:
                if p + "experts.gate_up_proj" in w:
                    both, down = w[p + "experts.gate_up_proj"][e], w[p + "experts.down_proj"][e]
                    gate, up = np.split(both @ x[t], 2)
                else:
                    gate, up = (w[f"{p}experts.{e}.{k}_proj.weight"] @ x[t] for k in ("gate", "up"))
                    down = w[f"{p}experts.{e}.down_proj.weight"]
                rows[t] += scores[t, e] * (down @ (silu(gate) * up))
        return rows

    h = w["model.embed_tokens.weight"][ids]
    d = h.shape[1] // heads
    theta = c.get("rope_theta") or c["rope_parameters"]["rope_theta"]
    angle = np.arange(n)[:, None] / theta ** (np.arange(0, d, 2) / d)
    cos, sin = np.cos(angle), np.sin(angle)

    def rotate(x):
        a, b = np.split(x, 2, -1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        x = norm(p + "input_layernorm", h)
        q, k, v = (x @ w[f"{p}self_attn.{m}_proj.weight"].T for m in "qkv")
        if p + "self_attn.q_norm.weight" in w:
            q, k = norm(p + "self_attn.q_norm", q), norm(p + "self_attn.k_norm", k)
        if clip:
            q, k, v = (np.clip(t, -clip, clip) for t in (q, k, v))
        q, k, v = (t.reshape(n, m, d).transpose(1, 0, 2) for t, m in ((q, heads), (k, n_kv), (v, n_kv)))
        h = h + attend(rotate(q), rotate(k), v, 0) @ w[p + "self_attn.o_proj.weight"].T
        x = norm(p + "post_attention_layernorm", h)
        if i < c.get("first_k_dense_replace", 0):
            h = h + dense(p + "mlp.", x)
            continue
        if "n_shared_experts" in c:
            h = h + dense(p + "mlp.shared_experts.", x)
        h = h + experts(p + "mlp.", x, softmax(x @ w[p + "mlp.gate.weight"].T))
    return norm("model.norm", h) @ w["lm_head.weight"].T


def mellum(c, w, ids):
    """Norms of q and k by head; layers that slide and layers that do not, each
    kind with its own rotation; experts whose weights are made to add up to 1."""
    heads, n_kv, d, eps = (c[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps"))
    n, used, rows = len(ids), c["num_experts_per_tok"], np.arange(len(ids))

    def norm(name, x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name + ".weight"]

    def gated(p, x):
        return (silu(x @ w[p + "gate_proj.weight"].T) * (x @ w[p + "up_proj.weight"].T)) @ w[p + "down_proj.weight"].T

    def rotate(x, theta):
        angle = rows[:, None] / theta ** (np.arange(0, d, 2) / d)
        a, b = np.split(x, 2, -1)
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    h = w["model.embed_tokens.weight"][ids]
    for i, kind in enumerate(c["layer_types"]):
        p, theta = f"model.layers.{i}.", c["rope_parameters"][kind]["rope_theta"]
        x = norm(p + "input_layernorm", h)
        q, k, v = ((x @ w[f"{p}self_attn.{m}_proj.weight"].T).reshape(n, -1, d).transpose(1, 0, 2) for m in "qkv")
        q, k = (rotate(norm(f"{p}self_attn.{m}_norm", t), theta) for m, t in (("q", q), ("k", k)))
        far = (rows[None, :] <= rows[:, None] - c["sliding_window"]) & (kind == "sliding_attention")
        h = h + attend(q, k, v, np.where(far, -np.inf, 0)) @ w[p + "self_attn.o_proj.weight"].T
        x = norm(p + "post_attention_layernorm", h)
        if c["mlp_layer_types"][i] == "dense":
            h = h + gated(p + "mlp.", x)
            continue
        scores = softmax(x @ w[p + "mlp.gate.weight"].T)
        for t in range(n):
            chosen = np.argsort(-scores[t], kind="stable")[:used]
            h[t] = h[t] + sum(scores[t, e] / scores[t, chosen].sum() * gated(f"{p}mlp.experts.{e}.", x[t]) for e in chosen)
    return norm("model.norm", h) @ w["lm_head.weight"].T


def falcon_mamba(c, w, ids):
    eps, rank, n_state = c["layer_norm_epsilon"], c["time_step_rank"], c["state_size"]

    def norm(x, e):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + e)

    h = w["backbone.embeddings.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        p = f"backbone.layers.{i}."
        m = p + "mixer."
        x, z = np.split((norm(h, eps) * w[p + "norm.weight"]) @ w[m + "in_proj.weight"].T, 2, -1)
        taps = w[m + "conv1d.weight"][:, 0]  # [inner, 4], the last for the token itself
        past = np.concatenate([np.zeros((taps.shape[1] - 1, x.shape[1])), x])
        x = silu(sum(past[j:j + len(ids)] * taps[:, j] for j in range(taps.shape[1])) + w[m + "conv1d.bias"])
        dt, b, k = np.split(x @ w[m + "x_proj.weight"].T, [rank, rank + n_state], -1)
        dt, b, k = (norm(t, c["mixer_rms_eps"]) for t in (dt, b, k))
        dt = np.log1p(np.exp(dt @ w[m + "dt_proj.weight"].T + w[m + "dt_proj.bias"]))
        a, state, y = -np.exp(w[m + "A_log"]), 0, []
        for t in range(len(ids)):
            state = np.exp(dt[t][:, None] * a) * state + (dt[t] * x[t])[:, None] * b[t]
            y.append(state @ k[t] + w[m + "D"] * x[t])
        h = h + (np.array(y) * silu(z)) @ w[m + "out_proj.weight"].T
    return (norm(h, eps) * w["backbone.norm_f.weight"]) @ w["backbone.embeddings.weight"].T


def openai_gpt(c, w, ids):
    eps, n = c["layer_norm_epsilon"], len(ids)

    def norm(name, x):
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]

    def linear(name, x):
        return x @ w[name + ".weight"] + w[name + ".bias"]

    h = w["transformer.tokens_embed.weight"][ids] + w["transformer.positions_embed.weight"][:n]
    for i in range(c["n_layer"]):
        p = f"transformer.h.{i}."
        qkv = linear(p + "attn.c_attn", h).reshape(n, 3, c["n_head"], -1).transpose(1, 2, 0, 3)
        h = norm(p + "ln_1", h + linear(p + "attn.c_proj", attend(*qkv, 0)))
        h = norm(p + "ln_2", h + linear(p + "mlp.c_proj", gelu_tanh(linear(p + "mlp.c_fc", h))))
    return h @ w["transformer.tokens_embed.weight"].T


def network(folder):
    with open(folder + "/config.json") as f:
        c = json.load(f)
    w = {k: v.astype(np.float64) for k, v in load(folder + "/model.safetensors").items()}
    run = {"bloom": bloom, "olmoe": olmoe, "deepseek": olmoe, "falcon_mamba": falcon_mamba,
           "openai-gpt": openai_gpt, "mellum": mellum}[c["model_type"]]
    return lambda ids: run(c, w, ids)


def check(folder):
    run, ref = network(folder), load(folder + "/reference.safetensors")
    for i in (0, 1):
        want = ref[f"logits_{i}"]
        print(folder, i, np.abs(run(ref[f"prompt_{i}"]) - want).max() / np.abs(want).max())


BLOOM = {"architectures": ["BloomForCausalLM"], "model_type": "bloom", "apply_residual_connection_post_layernorm": True,
         "hidden_size": 32, "n_head": 4, "n_layer": 3, "layer_norm_epsilon": 1e-5, "seq_length": 256,
         "tie_word_embeddings": True, "vocab_size": 256, "bos_token_id": 1, "eos_token_id": 2}
OLMOE = {"architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "attention_bias": False, "clip_qkv": 0.7,
         "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 16, "max_position_embeddings": 256,
         "norm_topk_prob": False, "num_attention_heads": 4, "num_experts": 4, "num_experts_per_tok": 2,
         "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 256,
         "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "tie_word_embeddings": False,
         "bos_token_id": 1, "eos_token_id": 2}

DEEPSEEK = {"architectures": ["DeepseekForCausalLM"], "model_type": "deepseek", "attention_bias": False,
            "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 48,
            "max_position_embeddings": 256, "moe_intermediate_size": 16, "moe_layer_freq": 1, "n_routed_experts": 6,
            "n_shared_experts": 2, "norm_topk_prob": False, "num_attention_heads": 4, "num_experts_per_tok": 3,
            "num_hidden_layers": 3, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "rope_scaling": None, "scoring_func": "softmax", "seq_aux": True, "aux_loss_alpha": 0.001,
            "tie_word_embeddings": False, "vocab_size": 256, "bos_token_id": 1, "eos_token_id": 2}
FALCON_MAMBA = {"architectures": ["FalconMambaForCausalLM"], "model_type": "falcon_mamba", "conv_kernel": 4, "expand": 2,
                "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64, "layer_norm_epsilon": 1e-5,
                "mixer_rms_eps": 1e-6, "num_hidden_layers": 2, "state_size": 8, "time_step_rank": 4,
                "residual_in_fp32": True, "tie_word_embeddings": True, "use_bias": False, "use_conv_bias": True,
                "vocab_size": 256, "bos_token_id": 1, "eos_token_id": 2}
OPENAI_GPT = {"architectures": ["OpenAIGPTLMHeadModel"], "model_type": "openai-gpt", "afn": "gelu",
              "layer_norm_epsilon": 1e-5, "n_ctx": 256, "n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 256,
              "n_special": 0, "predict_special_tokens": True, "vocab_size": 256}
MELLUM = {"architectures": ["MellumForCausalLM"], "model_type": "mellum", "attention_bias": False, "head_dim": 8,
          "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 256,
          "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
          "mlp_layer_types": ["dense", "sparse", "sparse"], "moe_intermediate_size": 16, "norm_topk_prob": True,
          "num_attention_heads": 4, "num_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 3,
          "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "sliding_window": 8, "tie_word_embeddings": False,
          "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 500000.0},
                              "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
          "vocab_size": 128, "bos_token_id": 1, "eos_token_id": 2}


def weights(c, r):
    d, v = c.get("hidden_size") or c["n_embd"], c["vocab_size"]
    w = {}

    def matrix(name, n, m, bias=False):
        w[name + ".weight"] = r.normal(0, 1.3 / np.sqrt(m), (n, m)).astype(np.float32)
        if bias:
            w[name + ".bias"] = r.normal(0, 0.15, n).astype(np.float32)

    def norm(name, n, bias=False):
        w[name + ".weight"] = r.normal(1, 0.15, n).astype(np.float32)
        if bias:
            w[name + ".bias"] = r.normal(0, 0.15, n).astype(np.float32)

    if c["model_type"] == "bloom":
        matrix("word_embeddings", v, d)
        norm("word_embeddings_layernorm", d, True)
        for i in range(c["n_layer"]):
            p = f"h.{i}."
            norm(p + "input_layernorm", d, True)
            matrix(p + "self_attention.query_key_value", 3 * d, d, True)
            matrix(p + "self_attention.dense", d, d, True)
            norm(p + "post_attention_layernorm", d, True)
            matrix(p + "mlp.dense_h_to_4h", 4 * d, d, True)
            matrix(p + "mlp.dense_4h_to_h", d, 4 * d, True)
        norm("ln_f", d, True)
        return w
    if c["model_type"] == "openai-gpt":
        matrix("transformer.tokens_embed", v, d)
        matrix("transformer.positions_embed", c["n_positions"], d)
        for i in range(c["n_layer"]):
            p = f"transformer.h.{i}."
            for name, n, m in (("attn.c_attn", 3 * d, d), ("attn.c_proj", d, d), ("mlp.c_fc", 4 * d, d),
                               ("mlp.c_proj", d, 4 * d)):
                matrix(p + name, n, m, True)
                w[p + name + ".weight"] = w[p + name + ".weight"].T
            norm(p + "ln_1", d, True)
            norm(p + "ln_2", d, True)
        return w
    if c["model_type"] == "falcon_mamba":
        inner, rank, state = c["intermediate_size"], c["time_step_rank"], c["state_size"]
        matrix("backbone.embeddings", v, d)
        for i in range(c["num_hidden_layers"]):
            p = f"backbone.layers.{i}."
            norm(p + "norm", d)
            matrix(p + "mixer.in_proj", 2 * inner, d)
            w[p + "mixer.conv1d.weight"] = r.normal(0, 0.5, (inner, 1, c["conv_kernel"])).astype(np.float32)
            w[p + "mixer.conv1d.bias"] = r.normal(0, 0.15, inner).astype(np.float32)
            matrix(p + "mixer.x_proj", rank + 2 * state, inner)
            matrix(p + "mixer.dt_proj", inner, rank, True)
            w[p + "mixer.A_log"] = (np.log(np.arange(1, state + 1)) + r.normal(0, 0.1, (inner, state))).astype(np.float32)
            w[p + "mixer.D"] = r.normal(1, 0.15, inner).astype(np.float32)
            matrix(p + "mixer.out_proj", d, inner)
        norm("backbone.norm_f", d)
        return w
    kv, ff = d // c["num_attention_heads"] * c["num_key_value_heads"], c["intermediate_size"]

    def gated(p, ff):
        matrix(p + "gate_proj", ff, d)
        matrix(p + "up_proj", ff, d)
        matrix(p + "down_proj", d, ff)

    matrix("model.embed_tokens", v, d)
    first, head = c["model_type"] == "deepseek", c.get("head_dim")
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        qk_norms = () if first else (("self_attn.q_norm", head or d), ("self_attn.k_norm", head or kv))
        for name, n in (("input_layernorm", d), ("post_attention_layernorm", d), *qk_norms):
            norm(p + name, n)
        for name, n in (("q", d), ("k", kv), ("v", kv), ("o", d)):
            matrix(f"{p}self_attn.{name}_proj", n, d)
        if i < c.get("first_k_dense_replace", 0) or c.get("mlp_layer_types", [None] * (i + 1))[i] == "dense":
            gated(p + "mlp.", ff)
            continue
        n_exp = c["n_routed_experts"] if first else c["num_experts"]
        matrix(p + "mlp.gate", n_exp, d)
        for e in range(n_exp):
            gated(f"{p}mlp.experts.{e}.", c.get("moe_intermediate_size", ff))
        if first:
            gated(p + "mlp.shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"])
    norm("model.norm", d)
    matrix("lm_head", v, d)
    return w


def make(folder, c, seed):
    r = np.random.default_rng(seed)
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/config.json", "w") as f:
        json.dump(c, f, indent=2)
        f.write("\n")
    save(folder + "/model.safetensors", weights(c, r))
    run, ref, prompts = network(folder), {}, []
    for i, n in enumerate((7, 40)):
        ids = r.integers(5, c["vocab_size"], n)
        ref[f"prompt_{i}"], ref[f"logits_{i}"] = ids, run(ids).astype(np.float32)
        greedy, margins = [], []
        for _ in range(24):
            top = run(np.concatenate([ids, np.array(greedy, np.int64)]))[-1]
            best = np.sort(top)
            greedy.append(int(top.argmax()))
            margins.append(round(float(best[-1] - best[-2]), 6))
        ref[f"greedy_{i}"] = np.array(greedy, np.int64)
        prompts.append({"margins": margins})
    save(folder + "/reference.safetensors", ref)
    with open(folder + "/reference.json", "w") as f:
        json.dump({"family": folder, "seed": seed, "numpy": np.__version__, "reference_dtype": "float64",
                   "prompts": prompts}, f)
        f.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        for folder in sys.argv[2:]:
            check(folder)
    else:
        ours = {"bloom_stream": BLOOM, "olmoe_clip": OLMOE, "deepseek": DEEPSEEK, "falcon_mamba": FALCON_MAMBA,
                "openai-gpt": OPENAI_GPT, "mellum": MELLUM}
        for seed, name in enumerate(ours, 1):
            if name in sys.argv[1:] or not sys.argv[1:]:
                make(name, ours[name], seed)
