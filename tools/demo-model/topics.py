# SPDX-License-Identifier: MIT
"""Reads topics.txt: for each topic its questions, its answers, and what follows "tell me more" and "why?"."""

import dataclasses
import os

from phrasing import expand, pick

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "topics.txt")


@dataclasses.dataclass
class Topic:
    name: str
    questions: list = dataclasses.field(default_factory=list)
    answers: list = dataclasses.field(default_factory=list)
    more: list = dataclasses.field(default_factory=list)
    why: list = dataclasses.field(default_factory=list)


def load_topics(path=PATH):
    topics = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                topics.append(Topic(line.strip("[]")))
                continue
            topic = topics[-1]
            lists = {"q": topic.questions, "a": topic.answers, "m": topic.more, "w": topic.why}
            if line[:1] not in lists or line[1:2] != " " or line.count("{") != line.count("}"):
                raise ValueError(f"{path}:{number}: not a line of a topic: {line!r}")
            lists[line[0]].append(line[2:])
    for topic in topics:
        if not topic.questions or not topic.answers:
            raise ValueError(f"{path}: [{topic.name}] has no question or no answer")
    return topics


def more_about(rng, topic):
    if topic.more:
        return expand(rng, pick(rng, topic.more))
    return pick(rng, [
        "That is all that I know about it. Ask me something else about llamas or caravans.",
        "I do not know more about it. Shall I tell you a story?",
    ])


def why_about(rng, topic):
    if topic.why:
        return expand(rng, pick(rng, topic.why))
    return pick(rng, [
        "I do not know why. That is just how it is in my small world.",
        "I cannot say why. I only know a little about llamas, caravans and small sums.",
    ])
