# SPDX-License-Identifier: MIT
"""Small arithmetic: questions with numbers and their answers. Held-back pairs never occur in training."""

import re

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

ASKS = ["What is {}", "What's {}", "How much is {}", "{}", "{}", "Calculate {}", "Compute {}", "Tell me what {} is",
        "Do you know what {} is", "Can you tell me what {} is", "What does {} make", "Please add up: {}", "What do you get for {}",
        "Solve {}", "How many are {}", "What is the result of {}", "{} is what", "And {}", "Now {}", "And what is {}"]
SIGNS = {
    "+": [" + ", " + ", "+", " plus ", " plus ", " and "],
    "-": [" - ", " - ", "-", " minus ", " minus ", " less "],
    "*": [" * ", " x ", "*", "x", " times ", " times ", " multiplied by "],
    "/": [" / ", "/", ":", " divided by ", " divided by "],
}
WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
GOODS = ["bags of salt", "bags", "blankets", "baskets", "letters", "sacks of corn", "carrots", "apples", "ropes", "bells"]


def in_words(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + ("-" + ONES[n % 10] if n % 10 else "")
    if n == 100:
        return "one hundred"
    return str(n)


def held_back(sign, a, b):
    """About one pair in twenty is for the held-back text only; the smallest sums are always taught."""
    return a > 10 and b > 3 and (a * 31 + b * 17 + ord(sign) * 7) % 20 == 0


def draw(rng, heldback):
    """sign, a, b, result; division is always even, and few results are below zero."""
    while True:
        sign = rng.choice("+++++---***/")
        small = rng.random() < 0.4
        if sign == "*":
            a, b = rng.randint(0, 12), rng.randint(0, 12)
            result = a * b
        elif sign == "/":
            b, result = rng.randint(1, 12), rng.randint(1, 12)
            a = b * result
        else:
            top = 20 if small else 100
            a, b = rng.randint(0, top), rng.randint(0, top)
            if sign == "-" and b > a and rng.random() < 0.9:
                a, b = b, a
            result = a + b if sign == "+" else a - b
        if not heldback and held_back(sign, a, b):
            continue
        if not heldback or held_back(sign, a, b) or rng.random() < 0.2:
            return sign, a, b, result


def count_word(n, word):
    return f"{n} {word}" if n != 1 else f"1 {word[:-1]}"


def picture(rng, sign, a, b, result):
    """A sentence that shows the sum with llamas."""
    if sign == "+":
        return rng.choice([
            f"If {count_word(a, 'llamas')} and {count_word(b, 'llamas')} walk together, the caravan has {count_word(result, 'llamas')}.",
            f"Count {a} first, and then {b} more.",
        ])
    if sign == "-" and result < 0:
        return "That is less than nothing, so no caravan can carry it."
    if sign == "-":
        return rng.choice([
            f"If a caravan has {count_word(a, 'bags')} and sells {b}, then {result} {'is' if result == 1 else 'are'} left.",
            f"Take {b} away from {a}.",
        ])
    if sign == "*":
        return f"If {count_word(a, 'llamas')} {'carries' if a == 1 else 'carry'} {count_word(b, 'bags')} each, that makes {count_word(result, 'bags')}."
    return f"If {count_word(b, 'llamas')} {'shares' if b == 1 else 'share'} {count_word(a, 'bags')}, each one carries {result}."


def plain_sum(rng, heldback):
    sign, a, b, result = draw(rng, heldback)
    between = rng.choice(SIGNS[sign])
    if between.strip().isalpha() and rng.random() < 0.4:
        question = rng.choice(ASKS).format(in_words(a) + between + in_words(b))
    elif rng.random() < 0.15:
        verb = {"+": "Add {a} and {b}", "-": "Subtract {b} from {a}", "*": "Multiply {a} by {b}", "/": "Divide {a} by {b}"}
        question = verb[sign].format(a=a, b=b)
    else:
        question = rng.choice(ASKS).format(f"{a}{between}{b}")
        if rng.random() < 0.1:
            question += " ="
    answer = f"{a} {WORDS[sign]} {b} is {result}."
    if rng.random() < 0.35:
        answer += " " + picture(rng, sign, a, b, result)
    return question, answer


def word_problem(rng, heldback):
    sign, a, b, result = draw(rng, heldback)
    while result < 0 or min(a, b) < 2:
        sign, a, b, result = draw(rng, heldback)
    question, answer = told_problem(rng, sign, a, b, result, rng.choice(GOODS))
    if rng.random() < 0.3:
        question = re.sub(r"\d+", lambda m: in_words(int(m.group())), question)
    return question, answer


def told_problem(rng, sign, a, b, result, goods):
    if sign == "+":
        question = rng.choice([
            f"A caravan has {a} llamas. {b} more join it. How many llamas are there now",
            f"A llama carries {a} {goods} and another one carries {b} {goods}. How many {goods} do they carry together",
            f"I have {a} {goods} and you give me {b} more. How many {goods} do I have",
            f"{a} llamas and {b} llamas walk together. How many llamas is that",
            f"If I have {a} {goods} and get {b} more, how many do I have",
        ])
        return question, f"There are {a} + {b} = {result} now." if "join" in question else f"That makes {a} + {b} = {result}."
    if sign == "-":
        question = rng.choice([
            f"A caravan has {a} {goods} and sells {b}. How many are left",
            f"There are {a} llamas and {b} of them go home. How many stay",
            f"I have {a} {goods} and lose {b}. How many are left",
            f"If I have {a} {goods} and give away {b}, how many do I have",
        ])
        return question, f"{a} - {b} = {result}, so {result} {'is' if result == 1 else 'are'} left."
    if sign == "*":
        question = rng.choice([
            f"{a} llamas carry {b} {goods} each. How many {goods} are there",
            f"{a} llamas carry {b} {goods} each. How many {goods} do they carry",
            f"A caravan of {a} llamas carries {b} {goods} on each llama. How many {goods} is that",
            f"Each of {a} llamas has {b} {goods}. How many {goods} is that in all",
        ])
        return question, f"{a} times {b} is {result}, so there are {result} {goods}."
    question = rng.choice([
        f"{b} llamas share {a} {goods}. How many does each one carry",
        f"How many {goods} does each llama carry if {b} llamas share {a} {goods}",
    ])
    return question, f"{a} divided by {b} is {result}, so each llama carries {result}."


def uneven(rng):
    b = rng.randint(2, 12)
    a = rng.randint(1, 12) * b + rng.randint(1, b - 1)
    question = rng.choice(ASKS).format(f"{a}{rng.choice(SIGNS['/'])}{b}")
    return question, f"{a} divided by {b} is {a // b}, and {a % b} {'is' if a % b == 1 else 'are'} left over."


def counting(rng):
    kind = rng.randrange(5)
    if kind == 0:
        end = rng.randint(3, 20) if rng.random() < 0.7 else rng.choice([25, 30, 40, 50, 60, 70, 80, 90, 99, 100, rng.randint(20, 100)])
        start = 1 if rng.random() < 0.8 else rng.randint(1, end - 1)
        question = f"Count from {start} to {end}" if start > 1 or rng.random() < 0.3 else f"Count to {end}"
        return question, ", ".join(str(i) for i in range(start, end + 1)) + "."
    if kind == 1:
        n = rng.randint(0, 99)
        return rng.choice([f"What comes after {n}", f"Which number follows {n}"]), f"After {n} comes {n + 1}."
    if kind == 2:
        a, b = rng.sample(range(100), 2)
        question = rng.choice([f"Which is bigger, {a} or {b}", f"Is {a} bigger than {b}", f"What is more, {a} or {b}"])
        answer = f"{max(a, b)} is bigger than {min(a, b)}."
        if question.startswith("Is"):
            answer = ("Yes, " if a > b else "No, ") + answer
        return question, answer
    if kind == 3:
        n = rng.randint(0, 99)
        if rng.random() < 0.5:
            return f"How do you write {n} in words", f"{n} is written {in_words(n)}."
        return f"Is {n} even or odd", f"{n} is {'odd' if n % 2 else 'even'}."
    n = rng.randint(1, 50)
    if rng.random() < 0.5:
        return rng.choice([f"What is twice {n}", f"Double {n}", f"What is the double of {n}"]), f"Twice {n} is {2 * n}."
    return rng.choice([f"What is half of {2 * n}", f"Halve {2 * n}"]), f"Half of {2 * n} is {n}."


def too_big(rng):
    a, b = rng.randint(101, 99999), rng.randint(2, 99999)
    if rng.random() < 0.3:
        a, b = rng.randint(13, 999), rng.randint(13, 999)
        text = f"{a}{rng.choice(SIGNS['*'])}{b}"
    else:
        text = f"{a}{rng.choice(SIGNS[rng.choice('+-*/')])}{b}"
    answer = rng.choice([
        "That is too big a sum for a small llama like me. I can add and subtract up to 100 and multiply up to 12.",
        "These numbers are too big for me. I only know small sums, with numbers up to 100.",
    ])
    return rng.choice(ASKS).format(text), answer


def make_sum(rng, heldback):
    """A question (without its mark) and its answer."""
    kind = rng.random()
    if kind < 0.72:
        return plain_sum(rng, heldback)
    if kind < 0.75:
        return uneven(rng)
    if kind < 0.87:
        return word_problem(rng, heldback)
    if kind < 0.95:
        return counting(rng)
    return too_big(rng)
