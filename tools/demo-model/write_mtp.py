# SPDX-License-Identifier: MIT
"""Writes the trained layer for multi-token prediction (train_mtp.py) as a GGUF file of its own, which `make-mtp` joins with the model's.

    python3 write_mtp.py --base ../../models/caravan-demo.gguf --data DIR --out ../../tests/data/demo-mtp.gguf
"""

import argparse
import os

import torch

from read_gguf import read_gguf
from write_gguf import STRING, TENSORS, U32, tensor_bytes, write_gguf

NAMES = {"enorm.weight": "nextn.enorm.weight", "hnorm.weight": "nextn.hnorm.weight", "norm.weight": "nextn.shared_head_norm.weight"}
NAMES["eh.weight"] = "nextn.eh_proj.weight"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True)
    parser.add_argument("--data", default="build/demo-model")
    parser.add_argument("--out", required=True)
    opt = parser.parse_args()
    fields, _ = read_gguf(opt.base)
    layer = fields["llama.block_count"]
    tensors = []
    for name, tensor in torch.load(os.path.join(opt.data, "mtp.pt"), map_location="cpu")["weights"].items():
        kind, data = tensor_bytes(tensor, "q8_0")
        rest = NAMES.get(name) or TENSORS[name.removeprefix("layer.")]
        tensors.append((f"blk.{layer}.{rest}", tuple(tensor.shape), kind, data))
    head = [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "Caravan demo, the layer for multi-token prediction"),
        ("general.license", STRING, "mit"),
        ("llama.block_count", U32, layer + 1),
        ("llama.embedding_length", U32, fields["llama.embedding_length"]),
    ]
    write_gguf(opt.out, head, tensors)
    print(f"{opt.out}: {len(tensors)} tensors, {os.path.getsize(opt.out)} bytes")


if __name__ == "__main__":
    main()
