# SPDX-License-Identifier: MIT
"""Trains a layer for multi-token prediction on top of the finished demo model, whose own weights stay as they are.

    python3 train_mtp.py --base ../../models/caravan-demo.gguf --data DIR --minutes 10

DIR holds train.jsonl (generate.py; a few ten thousand documents are enough); the layer goes to DIR/mtp.pt.

At position i the layer gets the embedding of token i and the model's last hidden state of token i-1, and says which token comes
after i. For a second and a third guess it gets its own last state in place of the model's, so it is trained on those steps too:
there it looks at its own keys and values of the guesses, and at those of the true tokens before them. What it learns is not the
text but the model's own distribution, since its guesses are compared with what the model samples. When it is used it sees only the
tokens since an answer began, so in half of the rows it sees a piece of the text.
"""

import argparse
import json
import os
import random
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from model import Config, Layer, Model, RmsNorm, causal_mask, rotate
from read_gguf import floats, read_gguf
from tokenizer import Tokenizer
from train import rate_at
from write_gguf import gguf_name

STEP_WEIGHTS = (1.0, 0.7, 0.5)
PIECE_MOST = 200


class Mtp(nn.Module):
    """The layer, with what is around it."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.enorm, self.hnorm, self.norm = RmsNorm(config), RmsNorm(config), RmsNorm(config)
        self.eh = nn.Linear(2 * config.dim, config.dim, bias=False)
        self.layer = Layer(config)

    def start_from(self, trunk, scale):
        """The state passes through at first, as large as the model has it, into a copy of the model's last layer."""
        self.layer.load_state_dict(trunk.layers[-1].state_dict())
        self.norm.load_state_dict(trunk.norm.state_dict())
        with torch.no_grad():
            nn.init.normal_(self.eh.weight, std=0.02)
            self.eh.weight[:, self.config.dim :] += scale * torch.eye(self.config.dim)

    def keys(self, x, cos, sin):
        attn, heads = self.layer.attn, self.config.heads

        def split(y, n):
            return y.view(*y.shape[:2], n, self.config.head_dim).transpose(1, 2)

        group = heads // self.config.kv_heads
        h = self.layer.attn_norm(x)
        q = rotate(split(attn.q(h), heads), cos, sin)
        k = rotate(split(attn.k(h), self.config.kv_heads), cos, sin).repeat_interleave(group, dim=1)
        v = split(attn.v(h), self.config.kv_heads).repeat_interleave(group, dim=1)
        return q, k, v

    def step(self, embedded, state, before, mask, cos, sin):
        """before: the keys and values of the steps before, the first of which saw the true states. Returns the new state and `before`
        with those of this step. A token at i sees its own step's at i, the step's before at i-1, ..., and the first step's at all
        others."""
        x = self.eh(torch.cat((self.enorm(embedded), self.hnorm(state)), dim=-1))
        q, k, v = self.keys(x, cos, sin)
        before = before + [(k, v)]
        first_k, first_v = before[0]
        n = len(before) - 1
        length = x.shape[1]
        scores = (q @ first_k.transpose(-2, -1)).masked_fill(~torch.tril(mask, diagonal=-n), float("-inf"))
        own, values = [], []
        for back, (kb, vb) in enumerate(reversed(before[1:])):  # of the guess `back` places before this one
            shifted_k, shifted_v = F.pad(kb, (0, 0, back, 0))[:, :, :length], F.pad(vb, (0, 0, back, 0))[:, :, :length]
            there = F.pad(torch.diagonal(mask, offset=-back, dim1=-2, dim2=-1), (back, 0))
            own.append((q * shifted_k).sum(-1).masked_fill(~there, float("-inf")))
            values.append(shifted_v)
        weights = torch.cat([scores] + [o[..., None] for o in own], dim=-1) * self.config.head_dim**-0.5
        weights = weights.softmax(-1)
        out = weights[..., :length] @ first_v
        for i, value in enumerate(values):
            out = out + weights[..., length + i, None] * value
        x = x + self.layer.attn.out(out.transpose(1, 2).reshape(x.shape))
        h = self.layer.ffn_norm(x)
        return x + self.layer.down(F.silu(self.layer.gate(h)) * self.layer.up(h)), before


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True)
    parser.add_argument("--data", default="build/demo-model")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--part", default="1/1", metavar="I/N", help="the training in N parts, of so many minutes each; go on with part I")
    parser.add_argument("--batch", type=int, default=4, help="rows in a step")
    parser.add_argument("--length", type=int, default=192, help="tokens in a row")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def load_base(path):
    fields, tensors = read_gguf(path)
    config = Config(
        vocab=fields["llama.vocab_size"],
        context=fields["llama.context_length"],
        dim=fields["llama.embedding_length"],
        layers=fields["llama.block_count"],
        heads=fields["llama.attention.head_count"],
        kv_heads=fields["llama.attention.head_count_kv"],
        ffn=fields["llama.feed_forward_length"],
        rope_base=fields["llama.rope.freq_base"],
    )
    model = Model(config)
    weights = {name: torch.from_numpy(floats(tensors[gguf_name(name)]).copy()) for name in model.state_dict()}
    model.load_state_dict(weights)
    ids = {text: i for i, text in enumerate(fields["tokenizer.ggml.tokens"])}
    merges = [tuple(ids[part] for part in merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    return model.eval().requires_grad_(False), Tokenizer(merges)


def rows_of(tokenizer, path, length):
    """An endless stream of rows; documents follow one another in them."""
    with open(path, encoding="utf-8") as f:
        lines = f.readlines()
    row = []
    while True:
        row.extend(tokenizer.encode(json.loads(random.choice(lines))))
        while len(row) >= length:
            yield row[:length]
            row = row[length:]


def mask_of(rows, length):
    """In half of the rows a token sees all that came before it, in the others only its own piece."""
    piece = torch.zeros(rows, length, dtype=torch.long)
    for row in range(rows // 2):
        at, number = 0, 0
        while at < length:
            size = random.randint(1, PIECE_MOST)
            piece[row, at : at + size] = number
            at, number = at + size, number + 1
    return causal_mask(length, "cpu") & (piece[:, :, None] == piece[:, None, :])[:, None]


@torch.no_grad()
def trunk_states(trunk, tokens):
    length = tokens.shape[1]
    cos, sin, mask = trunk.cos[:length], trunk.sin[:length], causal_mask(length, "cpu")
    x = trunk.embed(tokens)
    for layer in trunk.layers:
        x = layer(x, cos, sin, mask)
    return x


def train(trunk, mtp, optimizer, rows, opt):
    part, parts = (int(n) for n in opt.part.split("/"))
    start = shown = time.time()
    seen, hits = 0, [0.0] * len(STEP_WEIGHTS)
    while (share := (time.time() - start) / (60 * opt.minutes)) < 1:
        done = (part - 1 + share) / parts
        tokens = torch.tensor([next(rows) for _ in range(opt.batch)])
        states = trunk_states(trunk, tokens)
        with torch.no_grad():
            teacher = trunk.head(trunk.norm(states))[:, 1:].flatten(0, 1)
            target, best = teacher.softmax(-1), teacher.argmax(-1)
        embedded, state = trunk.embed(tokens)[:, 1:], states[:, :-1]
        length = embedded.shape[1]
        cos, sin, mask = trunk.cos[1 : length + 1], trunk.sin[1 : length + 1], mask_of(opt.batch, length)
        loss, before = 0.0, []
        for i, weight in enumerate(STEP_WEIGHTS):
            out, before = mtp.step(embedded, state, before, mask, cos, sin)
            logits = trunk.head(mtp.norm(out)).flatten(0, 1)
            loss = loss - weight * (target * logits.log_softmax(-1)).sum(-1).mean()
            hits[i] = 0.95 * hits[i] + 0.05 * (logits.argmax(-1) == best).float().mean().item()
            state = torch.cat((state[:, :1], out[:, :-1]), dim=1)  # the first guess of the row has none before it
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, opt.rate)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mtp.parameters(), 1.0)
        optimizer.step()
        seen += tokens.numel()
        if time.time() - shown > 15:
            shown = time.time()
            print(f"{done:.0%} loss {loss.item():.3f} hits {[round(h, 3) for h in hits]} {seen / (shown - start):.0f} tokens/s", flush=True)
    print(f"{seen} tokens, hits {[round(h, 3) for h in hits]}")


def main():
    opt = options()
    torch.manual_seed(opt.seed)
    random.seed(f"{opt.seed} {opt.part}")
    trunk, tokenizer = load_base(opt.base)
    rows = rows_of(tokenizer, os.path.join(opt.data, "train.jsonl"), opt.length)
    scale = trunk_states(trunk, torch.tensor([next(rows)])).pow(2).mean().sqrt().item()
    mtp, path = Mtp(trunk.config), os.path.join(opt.data, "mtp.pt")
    optimizer = torch.optim.AdamW(mtp.parameters(), lr=opt.rate, betas=(0.9, 0.95), weight_decay=0.01)
    if opt.part.startswith("1/"):
        mtp.start_from(trunk, scale)
    else:
        saved = torch.load(path, map_location="cpu")
        mtp.load_state_dict(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
    train(trunk, mtp, optimizer, rows, opt)
    torch.save({"weights": mtp.state_dict(), "optimizer": optimizer.state_dict()}, path)


if __name__ == "__main__":
    main()
