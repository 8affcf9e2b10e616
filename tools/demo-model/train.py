# SPDX-License-Identifier: MIT
"""Trains the demo model on the generated documents.

    python3 train.py --data DIR --device cuda --steps 6500

DIR holds train.jsonl, heldback.txt and tokenizer.json; the checkpoint goes to DIR/model.pt.
Documents are packed into rows of the context's length. In half of the rows a token sees its own
document only, as in a fresh chat; in the other half it sees all that came before it in the row.
"""

import argparse
import array
import json
import math
import multiprocessing
import os
import time

import torch
import torch.nn.functional as F

from model import Config, Model, causal_mask
from tokenizer import Tokenizer

IGNORE = -100


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="build/demo-model")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--batch", type=int, default=64, help="rows in a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=int, default=0, help="use only the first N documents")
    return parser.parse_args()


def encode_lines(job):
    path, lines = job
    tokenizer = Tokenizer.load(path)
    return [array.array("h", tokenizer.encode(json.loads(line))) for line in lines]


def encode_documents(data, jobs, limit):
    with open(os.path.join(data, "train.jsonl"), encoding="utf-8") as f:
        lines = f.readlines()
    lines = lines[:limit] if limit else lines
    path = os.path.join(data, "tokenizer.json")
    shards = [(path, lines[i : i + 5000]) for i in range(0, len(lines), 5000)]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        return [ids for shard in pool.imap(encode_lines, shards) for ids in shard]


def pack(documents, length):
    """Rows of `length` tokens, and beside each token the number of its document in the row (-1: padding)."""
    tokens, owners = array.array("h"), array.array("h")
    used = number = 0
    for ids in documents:
        ids = ids[:length]
        if used + len(ids) > length:
            tokens.extend([0] * (length - used))
            owners.extend([-1] * (length - used))
            used = number = 0
        tokens.extend(ids)
        owners.extend([number] * len(ids))
        used += len(ids)
        number += 1
    tokens.extend([0] * (length - used))
    owners.extend([-1] * (length - used))
    shape = (-1, length)
    return (torch.frombuffer(tokens, dtype=torch.int16).view(shape), torch.frombuffer(owners, dtype=torch.int16).view(shape))


def batch_of(tokens, owners, apart, causal):
    """Inputs, targets and mask. apart: bool [rows], true where the documents of a row are kept apart."""
    tokens, owners = tokens.long(), owners.long()
    same = owners[:, :, None] == owners[:, None, :]
    mask = causal & (same | ~apart[:, None, None])[:, None, :-1, :-1]
    target = tokens[:, 1:].clone()
    border = (owners[:, 1:] != owners[:, :-1]) & apart[:, None]
    target[border | (owners[:, 1:] < 0)] = IGNORE
    return tokens[:, :-1], target, mask


def rate_at(progress, highest):
    warm = 0.03
    if progress < warm:
        return highest * progress / warm
    fall = (progress - warm) / (1 - warm)
    return highest * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


@torch.no_grad()
def perplexity(model, ids, window, device):
    """Over whole windows of the text, one after another, each from an empty cache; its first token isn't scored."""
    count = len(ids) // window
    rows = torch.tensor(ids[: count * window], device=device).view(count, window)
    mask = causal_mask(window, device)
    loss = 0.0
    for row in rows.split(8):
        logits = model(row, mask)[:, :-1].float()
        loss += F.cross_entropy(logits.reshape(-1, logits.shape[-1]), row[:, 1:].reshape(-1), reduction="sum").item()
    return math.exp(loss / (count * (window - 1)))


def autocast(device):
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


def train(model, tokens, owners, opt):
    device = opt.device
    decay = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=opt.rate, betas=(0.9, 0.95))
    step_model = torch.compile(model) if device == "cuda" and hasattr(torch, "compile") else model
    causal = causal_mask(tokens.shape[1] - 1, device)
    order, at, seen = torch.randperm(len(tokens)), 0, 0
    start = shown = time.time()
    for step in range(1, opt.steps + 1):
        if at + opt.batch > len(order):
            order, at = torch.randperm(len(tokens)), 0
        pick = order[at : at + opt.batch].to(tokens.device)
        at += opt.batch
        apart = (torch.rand(len(pick)) < 0.5).to(device)
        x, target, mask = batch_of(tokens[pick].to(device), owners[pick].to(device), apart, causal)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step / opt.steps, opt.rate)
        with autocast(device):
            logits = step_model(x, mask)
        loss = F.cross_entropy(logits.float().view(-1, logits.shape[-1]), target.reshape(-1), ignore_index=IGNORE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += x.numel()
        if step == opt.steps or time.time() - shown > 10:
            value, shown = loss.item(), time.time()
            print(f"step {step} loss {value:.4f} {seen / (shown - start):.0f} tokens/s {shown - start:.0f} s", flush=True)


def main():
    opt = options()
    torch.manual_seed(opt.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    began = time.time()
    tokenizer = Tokenizer.load(os.path.join(opt.data, "tokenizer.json"))
    config = Config(vocab=tokenizer.size)
    documents = encode_documents(opt.data, opt.jobs, opt.limit)
    tokens, owners = pack(documents, config.context + 1)
    model = Model(config).to(opt.device)
    count = sum(p.numel() for p in model.parameters())
    total = sum(len(d) for d in documents)
    print(f"{count} parameters, {len(documents)} documents, {total} tokens, {len(tokens)} rows, {time.time() - began:.0f} s", flush=True)
    tokens, owners = tokens.to(opt.device), owners.to(opt.device)
    train(model, tokens, owners, opt)
    torch.save({"config": vars(config), "weights": model.state_dict()}, os.path.join(opt.data, "model.pt"))
    with open(os.path.join(opt.data, "heldback.txt"), encoding="utf-8") as f:
        ids = tokenizer.encode(f.read())
    print(f"heldback: {len(ids)} tokens, perplexity {perplexity(model, ids, 512, opt.device):.4f} in windows of 512")


if __name__ == "__main__":
    main()
