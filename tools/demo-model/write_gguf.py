# SPDX-License-Identifier: MIT
"""Writes the trained model as a GGUF file: matrices as Q8_0 (or F16), norms as F32.

    python3 write_gguf.py --data DIR --out ../../models/caravan-demo.gguf [--type q8_0|f16]

The file: header, metadata, tensor table, then the tensors' bytes, each aligned to 32.
"""

import argparse
import os
import struct

import numpy
import torch

from tokenizer import SPECIALS, Tokenizer

ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TYPE_F32, TYPE_F16, TYPE_Q8_0 = 0, 1, 8
FILE_TYPES = {"f16": 1, "q8_0": 7}
TOKEN_NORMAL, TOKEN_CONTROL = 1, 3

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

TENSORS = {
    "attn_norm.weight": "attn_norm.weight",
    "attn.q.weight": "attn_q.weight",
    "attn.k.weight": "attn_k.weight",
    "attn.v.weight": "attn_v.weight",
    "attn.out.weight": "attn_output.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "gate.weight": "ffn_gate.weight",
    "up.weight": "ffn_up.weight",
    "down.weight": "ffn_down.weight",
}
TOP_TENSORS = {"embed.weight": "token_embd.weight", "norm.weight": "output_norm.weight", "head.weight": "output.weight"}


def pack_string(text):
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


SCALARS = {
    U32: lambda v: struct.pack("<I", v),
    I32: lambda v: struct.pack("<i", v),
    F32: lambda v: struct.pack("<f", v),
    BOOL: lambda v: struct.pack("<?", v),
    STRING: pack_string,
}


def pack_value(kind, value):
    if isinstance(kind, tuple):
        item = kind[1]
        return struct.pack("<IIQ", ARRAY, item, len(value)) + b"".join(SCALARS[item](v) for v in value)
    return struct.pack("<I", kind) + SCALARS[kind](value)


def q8_0(rows):
    """Blocks of 32: one half-precision scale, then 32 signed bytes."""
    blocks = rows.reshape(-1, 32)
    scale = (numpy.abs(blocks).max(axis=1, keepdims=True) / 127).astype(numpy.float32)
    inverse = numpy.divide(1, scale, out=numpy.zeros_like(scale), where=scale > 0)
    out = numpy.empty(len(blocks), dtype=[("scale", "<f2"), ("values", "i1", 32)])
    out["scale"] = scale[:, 0]
    out["values"] = numpy.rint(blocks * inverse)
    return out.tobytes()


def tensor_bytes(tensor, kind):
    """The tensor's GGUF type and its bytes."""
    rows = tensor.float().cpu().numpy()
    if rows.ndim == 1:
        return TYPE_F32, rows.astype("<f4").tobytes()
    if kind == "f16":
        return TYPE_F16, rows.astype("<f2").tobytes()
    return TYPE_Q8_0, q8_0(rows)


def gguf_name(name):
    if name in TOP_TENSORS:
        return TOP_TENSORS[name]
    _, layer, rest = name.split(".", 2)
    return f"blk.{layer}.{TENSORS[rest]}"


def metadata(config, tokenizer, kind):
    ids = {s: tokenizer.specials[s] for s in SPECIALS}
    types = [TOKEN_CONTROL if i in ids.values() else TOKEN_NORMAL for i in range(tokenizer.size)]
    return [
        ("general.architecture", STRING, "llama"),
        ("general.type", STRING, "model"),
        ("general.name", STRING, "Caravan demo"),
        ("general.description", STRING, "A small chat model that knows about llamas, caravans and small sums."),
        ("general.license", STRING, "mit"),
        ("general.file_type", U32, FILE_TYPES[kind]),
        ("general.quantization_version", U32, 2),
        ("llama.vocab_size", U32, config["vocab"]),
        ("llama.context_length", U32, config["context"]),
        ("llama.embedding_length", U32, config["dim"]),
        ("llama.block_count", U32, config["layers"]),
        ("llama.feed_forward_length", U32, config["ffn"]),
        ("llama.attention.head_count", U32, config["heads"]),
        ("llama.attention.head_count_kv", U32, config["kv_heads"]),
        ("llama.attention.layer_norm_rms_epsilon", F32, config["norm_eps"]),
        ("llama.rope.dimension_count", U32, config["dim"] // config["heads"]),
        ("llama.rope.freq_base", F32, config["rope_base"]),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), tokenizer.token_texts()),
        ("tokenizer.ggml.token_type", (ARRAY, I32), types),
        ("tokenizer.ggml.merges", (ARRAY, STRING), tokenizer.merge_texts()),
        ("tokenizer.ggml.bos_token_id", U32, ids["<|endoftext|>"]),
        ("tokenizer.ggml.eos_token_id", U32, ids["<|im_end|>"]),
        ("tokenizer.ggml.eot_token_id", U32, ids["<|im_end|>"]),
        ("tokenizer.ggml.padding_token_id", U32, ids["<|endoftext|>"]),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def padding(length):
    return b"\0" * (-length % ALIGNMENT)


def write_gguf(path, fields, tensors):
    """fields: (key, type, value); tensors: (name, shape as PyTorch has it, type, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields))
    for key, kind, value in fields:
        head += pack_string(key) + pack_value(kind, value)
    offset = 0
    for name, shape, kind, data in tensors:
        head += pack_string(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", n) for n in reversed(shape))  # GGUF names the fastest dimension first
        head += struct.pack("<IQ", kind, offset)
        offset += len(data) + len(padding(len(data)))
    with open(path, "wb") as f:
        f.write(head + padding(len(head)))
        for _, _, _, data in tensors:
            f.write(data + padding(len(data)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="build/demo-model")
    parser.add_argument("--out", required=True)
    parser.add_argument("--type", default="q8_0", choices=sorted(FILE_TYPES))
    opt = parser.parse_args()
    checkpoint = torch.load(os.path.join(opt.data, "model.pt"), map_location="cpu")
    tokenizer = Tokenizer.load(os.path.join(opt.data, "tokenizer.json"))
    tensors = []
    for name, tensor in checkpoint["weights"].items():
        kind, data = tensor_bytes(tensor, opt.type)
        tensors.append((gguf_name(name), tuple(tensor.shape), kind, data))
    write_gguf(opt.out, metadata(checkpoint["config"], tokenizer, opt.type), tensors)
    print(f"{opt.out}: {len(tensors)} tensors, {os.path.getsize(opt.out)} bytes")


if __name__ == "__main__":
    main()
