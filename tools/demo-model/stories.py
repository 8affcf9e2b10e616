# SPDX-License-Identifier: MIT
"""Short stories about caravans: a start, a way, a trouble with its way out, an arrival and a lesson.

A story is drawn from parts that fit one another; names, loads and places stay the same all through it.
"""

from phrasing import pick

LLAMAS = (
    "Pepa Lino Suri Tola Marga Nuna Bruno Mika Pico Rosa Alma Taro Luz Kino Vela Paco Inti Killa Sami Wayra Chaska "
    "Urpi Tika Amaru Rumi Sisa Yaku Nina Lola Otto Hugo Emma Coco Dara Fina Gori Hanna Ilse Juno Kora Lupe Momo Nele Olga"
).split()
HELD_BACK_LLAMAS = {"Wayra", "Gori", "Nele"}

LEADS = ["an old llama", "a wise old llama", "a grey llama", "a brave llama", "a patient llama", "a clever llama", "a white llama"]
YOUNG = ["a young llama", "a small llama", "the youngest llama", "a shy llama", "a curious young llama", "a strong young llama"]
LOADS = [
    ("salt", "the salt"), ("wool", "the wool"), ("corn", "the corn"), ("tea", "the tea"), ("warm blankets", "the blankets"),
    ("books", "the books"), ("letters", "the letters"), ("dried fruit", "the fruit"), ("clay pots", "the pots"),
    ("medicine", "the medicine"), ("seeds", "the seeds"), ("a big bronze bell in many pieces", "the bell"),
]
PLACES = [
    ("over the high mountains", "the pass"), ("across the wide desert", "the desert"), ("through the deep canyon", "the canyon"),
    ("over the snowy pass", "the snow"), ("along the stony river", "the river"), ("across the red hills", "the hills"),
]
GOALS = [
    "the market by the sea", "the village in the green valley", "the town behind the mountains", "the school on the hill",
    "the old mill by the lake", "the people of the high village", "the harbour", "the children of the far village",
]
COUNTS = ["Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Twelve"]

OPENINGS = [
    "Once upon a time there was {lead} called {a}. She led a caravan of {n} llamas {way}.",
    "Once there was a caravan of {n} llamas. {A_lead} called {a} walked in front, and they were on their way {way}.",
    "Long ago, {n} llamas set out {way}. Their leader was {a}, {lead}.",
    "One morning, {a} rang her bell. {N} llamas stood up, shook their wool, and the caravan set out {way}.",
    "In a village far away lived {a}, {lead}. One day she had to lead {n} llamas {way}.",
    "High up in the mountains, where the wind never sleeps, {n} llamas made ready for a journey {way}. {a} was their leader.",
]
TASKS = [
    "They carried {load} to {goal}.",
    "They had to bring {load} to {goal}.",
    "Their load was {load}, and {goal} waited for it.",
    "On their backs lay {load} for {goal}.",
]
SPLITS = [
    "The load was too heavy for one, so each of them took a part.",
    "No llama could carry all of it, but each could carry a little.",
    "{a} shared out the load, and nobody got more than she could bear.",
    "The strong ones took three bags, the small ones took one, and nothing was left behind.",
    "They shared the load and walked in a line, one behind another.",
]
YOUNGS = [
    "At the end of the line walked {b}, {young}.",
    "The last in the line was {b}, {young}.",
    "{b}, {young}, was on the way for the first time.",
    "Among them was {b}, {young}, who asked many questions.",
]
TROUBLES = [
    ("storm", "On the second day a storm came. The wind was so strong that they could not see the path.",
     ["{a} rang her bell, and all of them lay down close together. They hummed until the storm was over.",
      "{b} was afraid, but {a} said: \"Stay close to me. A storm is loud, but it always ends.\" In the evening the sky was clear again."]),
    ("bridge", "At noon they came to a bridge. It was old and it looked weak.",
     ["{a} thought for a while. \"We go one by one,\" she said, \"and each with half of her bags.\" So they crossed it twice, and the bridge held.",
      "{b} was the lightest of them, so she went first. \"It holds!\" she called, and one after another they came across."]),
    ("hurt llama", "On the third day {c} hurt her foot and could not carry her bags any more.",
     ["\"Go on without me,\" she said. But the others took her bags and shared them. They walked a little slower, but they walked together.",
      "{b} came up to her and said: \"Give me one of your bags.\" Then another one took the second bag, and soon {c} could walk again."]),
    ("dry well", "Then they came to a well, but the well was dry.",
     ["{a} looked at the sky and saw some birds. \"They know where there is water,\" she said. They followed the birds and found a small green place with a spring.",
      "\"Who has some water left?\" asked {a}. Each had a little, and they put it together. It was enough for all until the next day."]),
    ("fog", "One morning thick fog lay on {place}, and nobody could see the llama in front.",
     ["{a} rang her bell at every step. The others followed the sound, and when the sun came out, all of them were still there.",
      "\"Take the wool of the one before you softly in your teeth,\" said {a}. So they walked like one long animal, and nobody got lost."]),
    ("lost llama", "In the evening {a} counted the llamas, and one was missing. It was {b}.",
     ["They stopped and called. After a while they heard a soft hum behind a rock. {b} had fallen asleep there, and they were all glad.",
      "{a} went back alone with her bell. Under the stars she found {b}, who had stopped to look at the moon. \"Next time look while you walk,\" she said, and they laughed."]),
    ("big stone", "A big stone had fallen on the path, and they could not get past it.",
     ["{c} pushed, and the stone did not move. {b} pushed, and it did not move. Then all of them pushed at once, and the stone rolled down the hill.",
      "\"One alone can do nothing here,\" said {a}. They put down their bags and pushed together. Slowly the stone moved, and the path was free."]),
    ("heavy bags", "In the middle of {place} {c} lay down and said: \"My bags are too heavy.\"",
     ["{a} weighed the bags again and gave one of them to {b}. Then {c} stood up, and the line went on.",
      "\"Then they are not shared well,\" said {a}. She took one bag herself, and {b} took another one. After that the line moved faster than before."]),
    ("fox", "At night a hungry fox came near and looked at the smallest llama.",
     ["But the llamas lay in a ring, with their heads to the outside. {b} saw the fox first and gave a loud call, and it ran away.",
      "{a} stood up and rang her bell, and all the others stood up too. The fox saw so many long necks that it ran home."]),
    ("snow", "Half of the way was done when it began to snow, and the path was gone.",
     ["{a} remembered every rock. She walked in front, and the others stepped into her steps. So they came down on the other side.",
      "They took turns to walk in front, for the first one had the hardest work. Even {b} led the line for a while, and she was proud of it."]),
]
ENDINGS = [
    "On the {day} day they came to {goal}. All the parts of the load were put together, and nothing was missing.",
    "After {days} days they reached {goal}. The people came out, and the children brought fresh grass.",
    "When at last they saw {goal}, {a} rang her bell three times. {The_load} had arrived.",
    "In the end they came to {goal}. The bags were counted, and every one of them was there.",
]
LESSONS = [
    "\"You see,\" said {a}, \"what is too heavy for one is light for many.\"",
    "\"None of us could have done it alone,\" said {b}. \"That is why we are a caravan,\" said {a}.",
    "That night they slept close together, and {b} dreamed of the next journey.",
    "And from that day on {b} walked right behind {a} and learned every path.",
    "\"Are you tired?\" asked {a}. \"Yes,\" said {b}, \"but I would go again tomorrow.\"",
    "Since then people say there: share the load, and the way becomes short.",
    "{b} was very proud, and {a} gave her a little bell of her own.",
]

DAYS = [("fifth", "five"), ("sixth", "six"), ("seventh", "seven"), ("ninth", "nine"), ("tenth", "ten"), ("twelfth", "twelve")]


def upper_first(text):
    return text[0].upper() + text[1:]


def three_names(rng, names):
    chosen = []
    while len(chosen) < 3:
        name = pick(rng, names)
        if name not in chosen:
            chosen.append(name)
    return chosen


def draw_parts(rng, heldback, leader=None, goods=None):
    """What stays the same all through one story."""
    names = [n for n in LLAMAS if heldback or n not in HELD_BACK_LLAMAS]
    a, b, c = three_names(rng, names)
    a = leader or a
    while a in (b, c):
        _, b, c = three_names(rng, names)
    load = goods or pick(rng, LOADS)
    way, place = pick(rng, PLACES)
    lead = pick(rng, LEADS)
    count = pick(rng, COUNTS)
    day, days = pick(rng, DAYS)
    return {
        "a": a, "b": b, "c": c, "lead": lead, "A_lead": upper_first(lead), "young": pick(rng, YOUNG), "load": load[0],
        "the_load": load[1], "The_load": upper_first(load[1]), "way": way, "place": place, "goal": pick(rng, GOALS),
        "n": count.lower(), "N": count, "day": day, "days": days, "trouble": pick(rng, TROUBLES),
    }


def tell(rng, parts, short=False):
    _, trouble, ways_out = parts["trouble"]
    lines = [pick(rng, OPENINGS), pick(rng, TASKS), pick(rng, SPLITS)]
    if not short:
        lines.append(pick(rng, YOUNGS))
    lines += [trouble, pick(rng, ways_out), pick(rng, ENDINGS)]
    if not short or rng.random() < 0.5:
        lines.append(pick(rng, LESSONS))
    return " ".join(upper_first(line.format(**parts)) for line in lines)


def questions_about(parts):
    """Questions whose answers stand in the story."""
    return [
        ("Who {led the caravan|was the leader|was in front|led the llamas}{ in the story|}", f"{parts['a']} led the caravan in the story."),
        ("What did {they|the llamas} carry{ in the story|}", f"They carried {parts['load']}."),
        ("Where did {they|the llamas|the caravan} go{ in the story|}", f"They went {parts['way']} to {parts['goal']}."),
        ("How many llamas {were there|were in the caravan|were in the story}", f"There were {parts['n']} llamas in the story."),
        ("{Who was the leader of the story|What was the name of the leader}", f"The leader was {parts['a']}."),
    ]
