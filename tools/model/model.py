"""The model in PyTorch: Llama as transformers defines it (rotary halves), with
the matrices of all layers stacked, so that the optimizer can treat each kind
of matrix as one batch."""
import math

import torch
import torch.nn.functional as F

from shape import (CONTEXT, D_FF, D_HEAD, D_MODEL, EPS, N_HEAD, N_KV, N_LAYER, N_VOCAB, ROPE_THETA)

D_Q, D_K = N_HEAD * D_HEAD, N_KV * D_HEAD


def norm(x, gain):
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + EPS)
    return y.type_as(x) * gain.type_as(x)


def rope_tables(n, device):
    inv = ROPE_THETA ** (-torch.arange(0, D_HEAD, 2, device=device).float() / D_HEAD)
    angle = torch.arange(n, device=device).float()[:, None] * inv[None]
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rope(x, cos, sin):
    one, two = x.chunk(2, -1)
    return x * cos + torch.cat([-two, one], -1) * sin


def attend(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    n = q.shape[-2]
    scores = q @ k.transpose(-1, -2) / math.sqrt(D_HEAD)
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool, device=q.device).triu(1), -1e30)
    return scores.softmax(-1) @ v


class Llama(torch.nn.Module):
    def __init__(self):
        super().__init__()

        def matrix(rows, columns, std):
            return torch.nn.Parameter(torch.randn(N_LAYER, rows, columns) * std)

        def gain(*size):
            return torch.nn.Parameter(torch.ones(*size))

        std, out = 0.5 / math.sqrt(D_MODEL), 0.5 / math.sqrt(D_MODEL * 2 * N_LAYER)
        self.embed = torch.nn.Parameter(torch.randn(N_VOCAB, D_MODEL) * 0.02)
        self.qkv = matrix(D_Q + 2 * D_K, D_MODEL, std)
        self.o = matrix(D_MODEL, D_Q, out)
        self.gate_up = matrix(2 * D_FF, D_MODEL, std)
        self.down = matrix(D_MODEL, D_FF, out)
        self.norm_attn, self.norm_mlp = gain(N_LAYER, D_MODEL), gain(N_LAYER, D_MODEL)
        self.norm_out = gain(D_MODEL)

    def forward(self, ids, keep=None):
        """ids [n_seq, n_tok] -> logits; keep: positions [n_seq] to compute logits for."""
        b, n = ids.shape
        cos, sin = rope_tables(n, ids.device)
        x = F.embedding(ids, self.embed)
        if x.is_cuda:
            x = x.bfloat16()
        cos, sin = cos.type_as(x), sin.type_as(x)
        for layer in range(N_LAYER):
            h = norm(x, self.norm_attn[layer])
            q, k, v = F.linear(h, self.qkv[layer].type_as(h)).split([D_Q, D_K, D_K], -1)
            q = rope(q.view(b, n, N_HEAD, D_HEAD).transpose(1, 2), cos, sin)
            k = rope(k.view(b, n, N_KV, D_HEAD).transpose(1, 2), cos, sin)
            v = v.view(b, n, N_KV, D_HEAD).transpose(1, 2)
            k = k.repeat_interleave(N_HEAD // N_KV, 1)
            v = v.repeat_interleave(N_HEAD // N_KV, 1)
            y = attend(q, k, v).transpose(1, 2).reshape(b, n, D_Q)
            x = x + F.linear(y, self.o[layer].type_as(y))
            h = norm(x, self.norm_mlp[layer])
            gate, up = F.linear(h, self.gate_up[layer].type_as(h)).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, self.down[layer].type_as(h))
        if keep is not None:
            x = x[torch.arange(b, device=x.device), keep]
        x = norm(x, self.norm_out)
        return F.linear(x, self.embed.type_as(x))

    def tensors(self):
        """{Hugging Face name: float32 tensor}"""
        out = {"model.embed_tokens.weight": self.embed, "model.norm.weight": self.norm_out}
        for i in range(N_LAYER):
            p = f"model.layers.{i}."
            q, k, v = self.qkv[i].split([D_Q, D_K, D_K])
            gate, up = self.gate_up[i].chunk(2)
            out.update({p + "self_attn.q_proj.weight": q, p + "self_attn.k_proj.weight": k,
                        p + "self_attn.v_proj.weight": v, p + "self_attn.o_proj.weight": self.o[i],
                        p + "mlp.gate_proj.weight": gate, p + "mlp.up_proj.weight": up,
                        p + "mlp.down_proj.weight": self.down[i],
                        p + "input_layernorm.weight": self.norm_attn[i],
                        p + "post_attention_layernorm.weight": self.norm_mlp[i]})
        return {k: v.detach().float().cpu().contiguous() for k, v in out.items()}

    @torch.no_grad()
    def take(self, tensors):
        """The reverse of tensors()."""
        t = {k: torch.as_tensor(v) for k, v in tensors.items()}
        self.embed.copy_(t["model.embed_tokens.weight"])
        self.norm_out.copy_(t["model.norm.weight"])
        for i in range(N_LAYER):
            p = f"model.layers.{i}."
            self.qkv[i].copy_(torch.cat([t[p + f"self_attn.{x}_proj.weight"] for x in "qkv"]))
            self.o[i].copy_(t[p + "self_attn.o_proj.weight"])
            self.gate_up[i].copy_(torch.cat([t[p + f"mlp.{x}_proj.weight"] for x in ("gate", "up")]))
            self.down[i].copy_(t[p + "mlp.down_proj.weight"])
            self.norm_attn[i].copy_(t[p + "input_layernorm.weight"])
            self.norm_mlp[i].copy_(t[p + "post_attention_layernorm.weight"])

    @torch.no_grad()
    def generate(self, prompts, max_new, stop, temperature=0.0, generator=None, batch=192):
        """Continue each list of ids; greedy at temperature 0. No cache: the
        batches are sorted by length, which is fast enough for evaluation."""
        device = self.embed.device
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        out = [None] * len(prompts)
        for start in range(0, len(order), batch):
            group = order[start:start + batch]
            rows = [list(prompts[i])[-(CONTEXT - max_new):] for i in group]
            n = [len(r) for r in rows]
            live = set(range(len(rows)))
            for _ in range(max_new):
                index = sorted(live)
                width = (max(len(rows[i]) for i in index) + 63) // 64 * 64
                ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in index], device=device)
                keep = torch.tensor([len(rows[i]) - 1 for i in index], device=device)
                logits = self(ids, keep).float()
                if temperature > 0:
                    picked = torch.multinomial((logits / temperature).softmax(-1), 1,
                                               generator=generator)[:, 0]
                else:
                    picked = logits.argmax(-1)
                for i, token in zip(index, picked.tolist()):
                    if token in stop:
                        live.discard(i)
                    else:
                        rows[i].append(token)
                if not live:
                    break
            for i, row, first in zip(group, rows, n):
                out[i] = row[first:]
        return out
