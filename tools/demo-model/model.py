# SPDX-License-Identifier: MIT
"""The demo model in PyTorch: the `llama` architecture just as libllama computes it.

Pre-norm decoder with RMSNorm, grouped-query attention, SwiGLU, and rotary positions over neighbouring
pairs of each head (2i, 2i+1), so that the weights go into the GGUF as they are.
"""

import dataclasses

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclasses.dataclass
class Config:
    vocab: int = 2048
    context: int = 1024
    dim: int = 256
    layers: int = 8
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 704
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self):
        return self.dim // self.heads


class RmsNorm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.dim))
        self.eps = config.norm_eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """x: [batch, heads, positions, head_dim]; cos, sin: [positions, head_dim / 2]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).type_as(x)


def attend(q, k, v, mask):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        kv_dim = config.kv_heads * config.head_dim
        self.q = nn.Linear(config.dim, config.dim, bias=False)
        self.k = nn.Linear(config.dim, kv_dim, bias=False)
        self.v = nn.Linear(config.dim, kv_dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x, cos, sin, mask):
        batch, length, _ = x.shape

        def split(y, heads):
            return y.view(batch, length, heads, self.config.head_dim).transpose(1, 2)

        group = self.config.heads // self.config.kv_heads
        q = rotate(split(self.q(x), self.config.heads), cos, sin)
        k = rotate(split(self.k(x), self.config.kv_heads), cos, sin).repeat_interleave(group, dim=1)
        v = split(self.v(x), self.config.kv_heads).repeat_interleave(group, dim=1)
        return self.out(attend(q, k, v, mask).transpose(1, 2).reshape(batch, length, -1))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn_norm = RmsNorm(config)
        self.attn = Attention(config)
        self.ffn_norm = RmsNorm(config)
        self.gate = nn.Linear(config.dim, config.ffn, bias=False)
        self.up = nn.Linear(config.dim, config.ffn, bias=False)
        self.down = nn.Linear(config.ffn, config.dim, bias=False)

    def forward(self, x, cos, sin, mask):
        x = x + self.attn(self.attn_norm(x), cos, sin, mask)
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RmsNorm(config)
        self.head = nn.Linear(config.dim, config.vocab, bias=False)
        power = torch.arange(0, config.head_dim, 2).float() / config.head_dim
        angle = torch.outer(torch.arange(config.context).float(), config.rope_base ** -power)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("attn.out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / (2 * config.layers) ** 0.5 if deep else 0.02)

    def forward(self, tokens, mask):
        """tokens: [batch, positions]; mask: bool [batch or 1, 1, positions, positions], true where one may look."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return self.head(self.norm(x))


def causal_mask(length, device):
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
