"""Write the default model as a GGUF file, and read such a file back.

Only what this one file needs: version 3, little endian, q8_0 and f32 tensors,
the metadata of the Llama family and of a byte-level BPE vocabulary. The rows
of the query and key matrices go from the order of transformers (two halves of
a head are rotated against each other) to that of GGUF (neighbours are).
"""
import json
import struct

import numpy as np

import chatml
from shape import (CONTEXT, D_FF, D_HEAD, D_MODEL, END_OF_TEXT, EPS, IM_END, LICENSE, MARKS, N_HEAD,
                   N_KV, N_LAYER, NAME, ROPE_THETA, SPECIAL)

F32, Q8_0 = 0, 8
U32, FLOAT, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
ALIGN = 32
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}


def quantize(x):
    """float32 [rows, columns] -> (scales f16, int8) in blocks of 32."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(1) / 127.0
    inverse = np.where(scale > 0, 1.0 / np.maximum(scale, 1e-30), 0)
    q = np.rint(blocks * inverse[:, None]).clip(-127, 127).astype(np.int8)
    return scale.astype(np.float16), q


def dequantize(scale, q, shape):
    return (q.astype(np.float32) * scale.astype(np.float32)[:, None]).reshape(shape)


def permute(x, heads):
    return x.reshape(heads, 2, D_HEAD // 2, -1).swapaxes(1, 2).reshape(x.shape)


def unpermute(x, heads):
    return x.reshape(heads, D_HEAD // 2, 2, -1).swapaxes(1, 2).reshape(x.shape)


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest[:-7]]}.weight"


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, x):
    if kind == STRING:
        return string(x)
    return struct.pack({U32: "<I", FLOAT: "<f", BOOL: "<?", I32: "<i"}[kind], x)


def metadata(tokenizer):
    model = tokenizer["model"]
    vocab = sorted(model["vocab"].items(), key=lambda item: item[1])
    assert [i for _, i in vocab] == list(range(len(vocab)))
    tokens = [t for t, _ in vocab]
    types = [3 if t in SPECIAL else 4 if t in MARKS else 1 for t in tokens]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return [
        ("general.architecture", STRING, "llama"), ("general.name", STRING, NAME),
        ("general.description", STRING, "quern's small built-in demo model"),
        ("general.license", STRING, LICENSE), ("general.size_label", STRING, "14M"),
        ("general.file_type", U32, 7), ("general.quantization_version", U32, 2),
        ("llama.vocab_size", U32, len(tokens)), ("llama.context_length", U32, CONTEXT),
        ("llama.embedding_length", U32, D_MODEL), ("llama.block_count", U32, N_LAYER),
        ("llama.feed_forward_length", U32, D_FF), ("llama.rope.dimension_count", U32, D_HEAD),
        ("llama.rope.freq_base", FLOAT, ROPE_THETA), ("llama.attention.head_count", U32, N_HEAD),
        ("llama.attention.head_count_kv", U32, N_KV),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT, EPS),
        ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), tokens),
        ("tokenizer.ggml.token_type", (ARRAY, I32), types),
        ("tokenizer.ggml.merges", (ARRAY, STRING), merges),
        ("tokenizer.ggml.bos_token_id", U32, END_OF_TEXT),
        ("tokenizer.ggml.eos_token_id", U32, IM_END),
        ("tokenizer.ggml.eot_token_id", U32, END_OF_TEXT),
        ("tokenizer.ggml.padding_token_id", U32, END_OF_TEXT),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, chatml.TEMPLATE),
    ]


def write(path, tensors, tokenizer_path):
    """tensors: {Hugging Face name: float32 array}. Returns the arrays as the
    file holds them, dequantized, in the order of transformers."""
    with open(tokenizer_path, encoding="utf-8") as file:
        meta = metadata(json.load(file))
    out = bytearray()
    infos, blobs, offset, kept = [], [], 0, {}
    for name, x in tensors.items():
        x = np.asarray(x, np.float32)
        heads = {"q_proj": N_HEAD, "k_proj": N_KV}.get(name.split(".")[-2])
        stored = permute(x, heads) if heads else x
        if x.ndim == 1:
            kind, blob, back = F32, stored.tobytes(), stored
        else:
            scale, q = quantize(stored)
            blob = np.concatenate([scale.view(np.int8).reshape(-1, 2), q], 1).tobytes()
            kind, back = Q8_0, dequantize(scale, q, x.shape)
        kept[name] = unpermute(back, heads) if heads else back
        infos.append(string(gguf_name(name)) + struct.pack("<I", x.ndim)
                     + b"".join(struct.pack("<Q", d) for d in reversed(x.shape))
                     + struct.pack("<IQ", kind, offset))
        blob += b"\0" * (-len(blob) % ALIGN)
        blobs.append(blob)
        offset += len(blob)
    out += b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta))
    for key, kind, x in meta:
        out += string(key)
        if isinstance(kind, tuple):
            out += struct.pack("<IIQ", ARRAY, kind[1], len(x)) + b"".join(value(kind[1], v) for v in x)
        else:
            out += struct.pack("<I", kind) + value(kind, x)
    out += b"".join(infos)
    out += b"\0" * (-len(out) % ALIGN)
    with open(path, "wb") as file:
        file.write(out)
        for blob in blobs:
            file.write(blob)
    return kept


def read(path):
    """({key: value}, {Hugging Face name: float32 array})"""
    data = open(path, "rb").read()
    at = 24
    n_tensors, n_meta = struct.unpack_from("<QQ", data, 8)
    assert data[:4] == b"GGUF"

    def get(fmt):
        nonlocal at
        (x,) = struct.unpack_from(fmt, data, at)
        at += struct.calcsize(fmt)
        return x

    def text():
        nonlocal at
        n = get("<Q")
        at += n
        return data[at - n:at].decode()

    def one(kind):
        return text() if kind == STRING else get({U32: "<I", FLOAT: "<f", BOOL: "<?", I32: "<i"}[kind])

    meta = {}
    for _ in range(n_meta):
        key, kind = text(), get("<I")
        if kind == ARRAY:
            kind, n = get("<I"), get("<Q")
            meta[key] = [one(kind) for _ in range(n)]
        else:
            meta[key] = one(kind)
    infos = []
    for _ in range(n_tensors):
        name, dims = text(), get("<I")
        shape = [get("<Q") for _ in range(dims)][::-1]
        infos.append((name, shape, get("<I"), get("<Q")))
    at += -at % ALIGN
    back = {v: k for k, v in NAMES.items()}
    tensors = {}
    for name, shape, kind, offset in infos:
        n = int(np.prod(shape))
        if kind == F32:
            x = np.frombuffer(data, np.float32, n, at + offset).reshape(shape)
        else:
            blocks = np.frombuffer(data, np.int8, n // 32 * 34, at + offset).reshape(-1, 34)
            x = dequantize(np.ascontiguousarray(blocks[:, :2]).view(np.float16)[:, 0], blocks[:, 2:], shape)
        parts = name.split(".")
        if parts[0] == "blk":
            full = f"model.layers.{parts[1]}.{back[parts[2]]}.weight"
            heads = {"attn_q": N_HEAD, "attn_k": N_KV}.get(parts[2])
            x = unpermute(x, heads) if heads else x
        else:
            full = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}[parts[0]]
        tensors[full] = x
    return meta, tensors
