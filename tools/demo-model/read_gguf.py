# SPDX-License-Identifier: MIT
"""Reads the GGUF files that write_gguf.py writes: metadata, and tensors of the types F32, F16 and Q8_0."""

import struct

import numpy

ALIGNMENT = 32
STRING, ARRAY = 8, 9
FORMATS = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}
TYPE_F32, TYPE_F16, TYPE_Q8_0 = 0, 1, 8


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def text(self):
        length = self.number("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            item = self.number("<I")
            return [self.value(item) for _ in range(self.number("<Q"))]
        return self.number(FORMATS[kind])


def tensor_size(kind, count):
    return {TYPE_F32: 4 * count, TYPE_F16: 2 * count, TYPE_Q8_0: count // 32 * 34}[kind]


def read_gguf(path):
    """Returns the metadata {key: value} and the tensors {name: (shape as PyTorch has it, type, bytes)}."""
    with open(path, "rb") as f:
        r = Reader(f.read())
    if r.data[:4] != b"GGUF":
        raise ValueError(f'"{path}" is not a GGUF file')
    r.at = 8
    n_tensors, n_fields = r.number("<Q"), r.number("<Q")
    fields = {}
    for _ in range(n_fields):
        key = r.text()
        fields[key] = r.value(r.number("<I"))
    table = []
    for _ in range(n_tensors):
        name = r.text()
        shape = tuple(reversed([r.number("<Q") for _ in range(r.number("<I"))]))
        table.append((name, shape, r.number("<I"), r.number("<Q")))
    base = -(-r.at // ALIGNMENT) * ALIGNMENT
    tensors = {}
    for name, shape, kind, offset in table:
        size = tensor_size(kind, int(numpy.prod(shape)))
        tensors[name] = (shape, kind, r.data[base + offset : base + offset + size])
    return fields, tensors


def floats(tensor):
    shape, kind, data = tensor
    if kind == TYPE_Q8_0:
        blocks = numpy.frombuffer(data, dtype=[("scale", "<f2"), ("values", "i1", 32)])
        values = blocks["scale"].astype("f4")[:, None] * blocks["values"].astype("f4")
    else:
        values = numpy.frombuffer(data, dtype="<f4" if kind == TYPE_F32 else "<f2").astype("f4")
    return values.reshape(shape)
