# SPDX-License-Identifier: MIT
"""How people ask: expands alternatives such as {a|b}, and roughens questions as typing does."""

import re

INNER = re.compile(r"\{([^{}]*)\}")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

LEAD_INS = [
    "Please tell me: ", "Hey, ", "Hi! ", "Hello! ", "Tell me, ", "I have a question: ", "One question: ", "Now, ",
    "So, ", "Well, ", "And ", "But ", "Ok, ", "Can you tell me: ", "I wonder: ", "Another question: ", "Dear llama, ",
]
FOLLOW_UPS = [", please", " please", " today", ", friend", ", my friend", ", dear llama", " in your world", " exactly", " really"]


def pick(rng, options):
    """One of the options; the earlier ones come more often, so that the likeliest answer is clearly the likeliest."""
    return options[int(len(options) * rng.random() ** 1.4)]


def expand(rng, text):
    """Picks one alternative in every pair of braces, the innermost first."""
    while True:
        found = INNER.search(text)
        if not found:
            return text
        text = text[: found.start()] + pick(rng, found.group(1).split("|")) + text[found.end() :]


def is_question(text):
    return bool(re.match(r"(?i)(who|what|why|when|where|which|how|do|does|is|are|can|could|will|should|would|may|must)\b", text))


def typo(rng, text):
    """One slip of the finger: a letter dropped, doubled, changed, or two swapped."""
    places = [i for i, c in enumerate(text[:-1]) if c.isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    slips = [
        text[:i] + text[i + 1 :],
        text[:i] + text[i] + text[i:],
        text[:i] + rng.choice(LETTERS) + text[i + 1 :],
        text[:i] + text[i + 1] + text[i] + text[i + 2 :],
    ]
    return rng.choice(slips)


def ask(rng, question, mark=None, exact=False):
    """The question as somebody might type it; exact: its words matter, so only its end may change."""
    if exact:
        return question + rng.choice(["", "", ".", "!"])
    text = question[0].upper() + question[1:]
    if mark is None:
        mark = "?" if is_question(text) else rng.choice([".", ".", "!", ""])
    if rng.random() < 0.04:
        text += rng.choice(FOLLOW_UPS)
    if rng.random() < 0.10:
        lead = rng.choice(LEAD_INS)
        text = lead + (text if lead.endswith((": ", "! ")) else text[0].lower() + text[1:])
    if rng.random() < 0.85:
        text += mark
    elif rng.random() < 0.2:
        text += rng.choice(["??", "!", "...", " ?", "?!", "."])
    if rng.random() < 0.30:
        text = text.lower()
    elif rng.random() < 0.02:
        text = text.upper()
    if rng.random() < 0.08:
        text = typo(rng, text)
    return text


def first_sentence(text):
    return re.match(r".*?[.!?](?=\s|$)|.*", text).group(0)
