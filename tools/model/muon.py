"""The optimizer: Muon for the matrices, AdamW for the embedding and the norms.

Muon takes the momentum of a matrix and replaces it by the nearest orthogonal
matrix (five Newton-Schulz steps), so that every direction is learned equally
fast (Jordan et al. 2024). The update is scaled to the size that AdamW's has
(Liu et al. 2025), so that one learning rate means the same for both.
"""
import torch

from model import D_K, D_Q
from shape import D_FF


def orthogonal(g):
    """g [n, rows, columns] -> orthogonalized, in bfloat16 on a GPU."""
    x = g.bfloat16() if g.is_cuda else g
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.transpose(-1, -2)
    x = x / (x.flatten(1).norm(dim=-1)[:, None, None] + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.transpose(-1, -2) if tall else x


def parts(name, tensor):
    """The separate matrices within a stacked tensor."""
    if name == "qkv":
        return tensor.split([D_Q, D_K, D_K], 1)
    if name == "gate_up":
        return tensor.split([D_FF, D_FF], 1)
    return (tensor,)


class Optimizer:
    def __init__(self, model, lr, lr_embed, weight_decay=0.1, momentum=0.95):
        self.momentum, self.decay, self.step_count = momentum, weight_decay, 0
        self.matrices = [(n, p, torch.zeros_like(p)) for n, p in model.named_parameters() if p.dim() == 3]
        others = [p for n, p in model.named_parameters() if p.dim() != 3]
        extra = {"fused": True} if others[0].is_cuda else {}
        self.adam = torch.optim.AdamW(others, lr=lr_embed, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0, **extra)
        self.lr, self.lr_embed = lr, lr_embed
        self.update = torch.compile(self.plain_update) if others[0].is_cuda else self.plain_update

    @staticmethod
    def plain_update(name, p, m, grad, lr, momentum, decay):
        m.lerp_(grad, 1 - momentum)
        g = grad.lerp(m, momentum)
        pieces = [orthogonal(x) * (0.2 * max(x.shape[-2:]) ** 0.5) for x in parts(name, g)]
        p.mul_(1 - lr * decay)
        p.sub_(torch.cat(pieces, 1).type_as(p) * lr)

    @torch.no_grad()
    def step(self, scale):
        self.step_count += 1
        warm = min(1.0, self.step_count / 300)
        momentum = 0.85 + (self.momentum - 0.85) * warm
        for name, p, m in self.matrices:
            device = p.device
            self.update(name, p, m, p.grad, torch.tensor(self.lr * scale, device=device),
                        torch.tensor(momentum, device=device), self.decay)
            p.grad = None
        for group in self.adam.param_groups:
            group["lr"] = self.lr_embed * scale
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
