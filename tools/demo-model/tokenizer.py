# SPDX-License-Identifier: MIT
"""A byte-level BPE tokenizer, in the form that GGUF calls `gpt2` with the pre-tokenizer `qwen2`.

Text is cut into pieces by PIECES (every digit is a piece of its own, so that sums can be learnt digit by digit),
each piece is turned into bytes, and pairs of neighbours are merged in the order in which training found them.
Ids: 0 to 255 are the bytes, then one id for each merge, then the control tokens.

    python3 tokenizer.py train.jsonl tokenizer.json     train on the documents (one JSON string a line)
"""

import collections
import json
import re
import sys

VOCAB_SIZE = 2048
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TRAIN_DOCUMENTS = 40000

# Letters are [^\W\d_] and digits \d in the terms of Python's `re`.
PIECES = re.compile(
    r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
    r"|(?:[^\r\n\w]|_)?[^\W\d_]+"
    r"|\d"
    r"| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
SPECIAL_SPLIT = re.compile("(" + "|".join(re.escape(s) for s in SPECIALS) + ")")


def byte_letters():
    """The printable letter that stands for each byte in GGUF's token texts."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + len(letters) - len(plain))
    return letters


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.ranks = {m: i for i, m in enumerate(self.merges)}
        self.bytes_of = [bytes([b]) for b in range(256)]
        for a, b in self.merges:
            self.bytes_of.append(self.bytes_of[a] + self.bytes_of[b])
        first = len(self.bytes_of)
        self.specials = {s: first + i for i, s in enumerate(SPECIALS)}
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            return cls(json.load(f)["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"merges": self.merges}, f)
            f.write("\n")

    @property
    def size(self):
        return len(self.bytes_of) + len(SPECIALS)

    def piece_ids(self, piece):
        ids = list(piece.encode("utf-8"))
        while len(ids) > 1:
            best = min(zip(ids, ids[1:]), key=lambda p: self.ranks.get(p, 1 << 30))
            if best not in self.ranks:
                break
            ids = merge_pair(ids, best, 256 + self.ranks[best])
        return ids

    def encode(self, text):
        ids = []
        for part in SPECIAL_SPLIT.split(text):
            if part in self.specials:
                ids.append(self.specials[part])
                continue
            for piece in PIECES.findall(part):
                if piece not in self.cache:
                    self.cache[piece] = self.piece_ids(piece)
                ids.extend(self.cache[piece])
        return ids

    def decode(self, ids):
        by_id = {i: s.encode() for s, i in self.specials.items()}
        return b"".join(by_id.get(i) or self.bytes_of[i] for i in ids).decode("utf-8", "replace")

    def token_texts(self):
        letters = byte_letters()
        return ["".join(letters[b] for b in t) for t in self.bytes_of] + SPECIALS

    def merge_texts(self):
        texts = self.token_texts()
        return [texts[a] + " " + texts[b] for a, b in self.merges]


def merge_pair(ids, pair, new_id):
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new_id)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def count_pieces(documents):
    counts = collections.Counter()
    for text in documents:
        for part in SPECIAL_SPLIT.split(text):
            if part not in SPECIALS:
                counts.update(PIECES.findall(part))
    return counts


def train(documents, vocab_size=VOCAB_SIZE):
    """Merges the most frequent pair until the vocabulary is full; ties go to the smaller pair."""
    words = [(list(p.encode("utf-8")), n) for p, n in sorted(count_pieces(documents).items())]
    pairs = collections.Counter()
    where = collections.defaultdict(set)
    for w, (ids, n) in enumerate(words):
        for pair in zip(ids, ids[1:]):
            pairs[pair] += n
            where[pair].add(w)
    merges = []
    while 256 + len(merges) + len(SPECIALS) < vocab_size:
        best = min(pairs, key=lambda p: (-pairs[p], p))
        new_id = 256 + len(merges)
        merges.append(best)
        for w in sorted(where.pop(best)):
            ids, n = words[w]
            for pair in zip(ids, ids[1:]):
                pairs[pair] -= n
            ids = merge_pair(ids, best, new_id)
            words[w] = (ids, n)
            for pair in zip(ids, ids[1:]):
                pairs[pair] += n
                where[pair].add(w)
        del pairs[best]
    return Tokenizer(merges)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        documents = [json.loads(line) for _, line in zip(range(TRAIN_DOCUMENTS), f)]
    tokenizer = train(documents)
    tokenizer.save(sys.argv[2])
    print(f"{tokenizer.size} tokens from {len(documents)} documents")


if __name__ == "__main__":
    main()
