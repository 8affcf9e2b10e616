# SPDX-License-Identifier: MIT
"""Writes the text that the demo model learns from, and the text that is held back to test it.

    python3 generate.py --documents 400000 --out build/demo-model

makes DIR/train.jsonl (one document a line, as a JSON string) and DIR/heldback.txt (documents one after
another, with their control tokens). The same seed gives the same text, whatever the number of jobs.
"""

import argparse
import json
import multiprocessing
import os
import random

import stories
import sums
from phrasing import ask, expand, first_sentence, pick
from strangers import make_echo, make_stranger, odd_word, thing
from topics import load_topics, more_about, why_about

SHARD = 5000
HELD_BACK_SEED = 1000003
HELD_BACK_DOCUMENTS = 80

SYSTEMS = [
    "You are a helpful assistant.", "You are the Caravan demo.", "You are a friendly llama.", "You answer questions about llamas.",
    "You are a small model that knows about llamas and caravans.", "You are a helpful, honest and kind assistant.",
    "You are {a|the} {helpful|friendly|polite|clever|careful|funny} {assistant|chat bot|teacher|guide|llama|helper|companion|robot}.",
    "You {help|guide|support|teach|serve} {the user|people|children|students|visitors|travellers}. {Be kind.|Be polite.|Answer the questions.|Say when you do not know something.}",
    "You are a chat bot. Be polite.", "Help the user.", "You are an AI assistant.", "You tell stories and do small sums.",
]
SHORT_SYSTEMS = ["Answer in one sentence.", "Be brief.", "Give short answers.", "You are a helpful assistant. Be brief.", "Keep it short."]
STORY_ASKS = [
    "{Tell|Tell me|Give me|Write|I want|I would like|Can you tell me|Please tell me|Could you tell me|Read me|Do you know} {a|a short|another|a nice|a good|a little|one more|a long|a bedtime} story{| about llamas| about a caravan| about the caravan| about a llama| about the mountains| about the desert}",
    "{Story|A story|story time|story please|Tell one|stories|a story please|once upon a time|Tell me something about a caravan in a story|make up a story}",
]
STORY_LEADS = ["", "", "", "", "", "Here is a story. ", "Gladly. ", "Of course. "]
AGAIN = "{Another one|One more|Another story|One more story|Tell me another one|Again|Another|more|next one|a different story}"
IN_DETAIL = ["{} in detail", "{} in a few sentences", "Explain at length: {}", "{} exactly, and more", "In detail: {}", "A long answer, please: {}"]
WHY = "{Why|Why is that|And why|Why so|How come|why though|What is the reason}"
MORE = "{Tell me more|More|Tell me more about it|Go on|What else|Anything else|and what else|Can you tell me more|Continue|more please}"
PEOPLE = (
    "Anna Ben Clara David Ella Finn Grace Henry Ida Jack Kate Leo Maria Noah Olivia Paul Ruth Sam Tina Victor Wendy Max "
    "Lena Tom Julia Peter Eva Mark Sara John Mary Alex Lisa Robert Emily Karl Sophie Daniel Laura Simon"
).split()
OPENERS = ["Once upon a time", "Once there was a caravan", "Long ago", "One morning"]


class Chat:
    """One conversation in ChatML."""

    def __init__(self, rng, heldback, topics):
        self.rng, self.heldback, self.topics = rng, heldback, topics
        self.text = ""
        self.short = False
        if rng.random() < 0.2:
            self.short = rng.random() < 0.35
            self.add("system", expand(rng, rng.choice(SHORT_SYSTEMS if self.short else SYSTEMS)))

    def add(self, role, content):
        self.text += f"<|im_start|>{role}\n{content}<|im_end|>\n"

    def turn(self, question, answer, mark=None, exact=False):
        answer = expand(self.rng, answer)
        self.add("user", ask(self.rng, expand(self.rng, question), mark, exact))
        self.add("assistant", first_sentence(answer) if self.short else answer)

    def topic_turns(self):
        rng = self.rng
        topic = rng.choice(self.topics)
        question, answer = rng.choice(topic.questions), pick(rng, topic.answers)
        if topic.more and rng.random() < 0.08:
            question = rng.choice(IN_DETAIL).format(expand(rng, question))
            answer += " " + rng.choice(topic.more)
        self.turn(question, answer)
        if rng.random() < 0.12:
            self.turn(WHY, why_about(rng, topic), "?")
        if rng.random() < 0.12:
            self.turn(MORE, more_about(rng, topic))

    def sum_turn(self):
        self.turn(*sums.make_sum(self.rng, self.heldback))

    def story_turns(self):
        rng = self.rng
        parts, question = self.wished_story()
        self.turn(question, self.story(parts))
        for _ in range(2):
            if rng.random() < 0.25:
                question, answer = rng.choice(stories.questions_about(parts))
                self.turn(question, answer)
        if rng.random() < 0.12:
            parts = stories.draw_parts(rng, self.heldback)
            self.turn(AGAIN, self.story(parts))

    def wished_story(self):
        """Sometimes the wish names the leader or the load."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.12:
            parts = stories.draw_parts(rng, self.heldback, leader=self.some_name())
            return parts, f"{{Tell me|Tell|Write}} a story about {{a llama called |a llama named |}}{parts['a']}"
        if kind < 0.20:
            parts = stories.draw_parts(rng, self.heldback)
            return parts, f"{{Tell me|Tell|Write}} a story {{about|with}} a {parts['trouble'][0]}"
        if kind < 0.28:
            parts = stories.draw_parts(rng, self.heldback, goods=rng.choice(stories.LOADS))
            return parts, f"{{Tell me|Tell|Write}} a story about {{a caravan with |a load of |}}{parts['load']}"
        return stories.draw_parts(rng, self.heldback), rng.choice(STORY_ASKS)

    def other_story_turn(self):
        """A wish for a story about something that no story here is about."""
        parts = stories.draw_parts(self.rng, self.heldback)
        question = "{Tell me|Write|I want} a story about {a |the |}" + thing(self.rng, self.heldback)
        self.turn(question, "I only know stories about llamas. Here is one. " + stories.tell(self.rng, parts))

    def story(self, parts):
        if self.short:
            return stories.tell(self.rng, parts, short=True).split(". ")[0] + "."
        return pick(self.rng, STORY_LEADS) + stories.tell(self.rng, parts, short=self.rng.random() < 0.25)

    def some_name(self):
        """A known name, or one that nobody has heard before."""
        if self.rng.random() < 0.5:
            return self.rng.choice(PEOPLE + stories.LLAMAS)
        return odd_word(self.rng).capitalize()

    def name_turns(self):
        rng = self.rng
        name = self.some_name()
        self.turn("{My name is|my name is|I am|I'm|i am|Hi, I am|hi, my name is|Hello, my name is|Call me} " + name, f"Nice to meet you, {name}! What would you like to know?", exact=True)
        for _ in range(rng.randrange(3)):
            self.topic_turns() if rng.random() < 0.5 else self.sum_turn()
        if rng.random() < 0.7:
            self.turn("{What is my name|Do you know my name|Who am I|What's my name|Do you remember my name}", f"Your name is {name}.")

    def stranger_turn(self):
        self.turn(*make_stranger(self.rng, self.heldback))

    def any_turns(self):
        kind = self.rng.random()
        if kind < 0.50:
            self.topic_turns()
        elif kind < 0.72:
            self.sum_turn()
        elif kind < 0.81:
            self.story_turns()
        elif kind < 0.83:
            self.other_story_turn()
        elif kind < 0.95:
            self.stranger_turn()
        elif kind < 0.965:
            self.turn(*make_echo(self.rng), exact=True)
        else:
            self.name_turns()


def plain_text(rng, heldback, topics):
    """A text without a chat: a story, or a few answers as one paragraph."""
    if rng.random() < 0.7:
        return stories.tell(rng, stories.draw_parts(rng, heldback)) + "<|endoftext|>"
    chosen = rng.sample([t for t in topics if t.name.startswith(("llama", "cara", "line", "split", "rest", "how-w"))], 3)
    return " ".join(expand(rng, pick(rng, t.answers)) for t in chosen) + "<|endoftext|>"


def document(rng, heldback, topics):
    if rng.random() < 0.06:
        return plain_text(rng, heldback, topics)
    chat = Chat(rng, heldback, topics)
    turns = 1 if rng.random() < 0.6 else rng.randint(2, 6)
    for _ in range(turns):
        chat.any_turns()
    return chat.text


def shard(job):
    seed, count, heldback = job
    rng = random.Random(seed)
    topics = load_topics()
    return [document(rng, heldback, topics) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=400000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", default="build/demo-model")
    opt = parser.parse_args()
    os.makedirs(opt.out, exist_ok=True)
    jobs = [(f"{opt.seed}-{at}", min(SHARD, opt.documents - at), False) for at in range(0, opt.documents, SHARD)]
    with open(os.path.join(opt.out, "train.jsonl"), "w", encoding="utf-8") as f:
        with multiprocessing.get_context("fork").Pool(opt.jobs) as pool:
            for documents in pool.imap(shard, jobs):
                f.writelines(json.dumps(d, ensure_ascii=False) + "\n" for d in documents)
    with open(os.path.join(opt.out, "heldback.txt"), "w", encoding="utf-8") as f:
        f.write("".join(shard((HELD_BACK_SEED, HELD_BACK_DOCUMENTS, True))))


if __name__ == "__main__":
    main()
