# SPDX-License-Identifier: MIT
"""Questions about everything that the model doesn't know, and its friendly way to say so."""

from phrasing import pick

THINGS = """football|music|the war|the president|the king|physics|chemistry|history|Rome|Paris|London|Berlin|France|Germany|Japan|China|India|
America|the moon landing|dinosaurs|cats|dogs|horses|elephants|sharks|birds|fish|bees|spiders|trees|flowers|roses|chess|cars|trains|planes|
rockets|robots|computers|phones|the internet|money|banks|taxes|gold|oil|love|marriage|death|god|religion|art|painting|Mozart|Einstein|Shakespeare|
Napoleon|Cleopatra|the pyramids|the Eiffel Tower|pizza|pasta|bread|cheese|coffee|beer|wine|chocolate|soup|rice|sushi|the brain|the heart|blood|
viruses|cancer|medicine for a cold|doctors|teachers|school|university|law|politics|elections|democracy|climate change|energy|electricity|atoms|
black holes|galaxies|Mars|Jupiter|gravity|time travel|magic|dragons|vampires|zombies|superheroes|films|television|radio|books|newspapers|poetry of
Goethe|guitars|pianos|the violin|dancing|swimming|tennis|basketball|golf|cycling|the Olympics|fashion|shoes|hats|houses|bricks|bridges of steel|
ships|submarines|the Titanic|pirates|knights|castles|Python|Java|Rust|JavaScript|Linux|Windows|databases|algorithms|machine learning|neural networks|
quantum mechanics|relativity|algebra|geometry|calculus|prime numbers|pi|logic|philosophy|Plato|Buddha|yoga|sleep|dreams|happiness|anger|fear|
friendship|babies|children|grandmothers|lawyers|the police|prisons|guns|bombs|peace|Europe|Africa|Australia|Canada|Brazil|Mexico|Russia|Spain|Italy|
Egypt|Greece|New York|Tokyo|Moscow|Madrid|the Amazon|the Nile|Mount Everest|the ocean|volcanoes|earthquakes|hurricanes|diamonds|plastic|glass|paper|
cotton|silk|leather|toothpaste|soap|a haircut|insurance|my job|my boss|my car|my dog|my cat|my wife|my husband|my homework|my computer|my phone|
my garden|the stock market|bitcoin|Google|Amazon|Apple|Microsoft|Tesla|Netflix|video games|Minecraft|Pokemon|Harry Potter|Star Wars|Batman|
the Beatles|jazz|rock music|opera|ballet|sculpture|museums|photography|cameras|tomatoes|potatoes|bananas|strawberries|eggs|milk|butter|sugar|
honey|pepper|onions|garlic|a good wine|a cake|ice cream|vitamins|diets|running|the marathon|boxing|karate|wrestling|baseball|rugby|cricket""".replace("\n", "")
THINGS = THINGS.split("|")

PATTERNS = """What is {x}|What are {x}|Who is {x}|Who was {x}|Tell me about {x}|Tell me something about {x}|What do you know about {x}|Explain {x}|
How does {x} work|How do {x} work|What do you think about {x}|What do you think of {x}|Do you like {x}|Do you know {x}|Why is {x} important|
Why do people like {x}|Where is {x}|Where can I find {x}|When was {x}|How old is {x}|How much does {x} cost|How do I make {x}|How can I learn {x}|
What is the history of {x}|Who invented {x}|What is the best book about {x}|Write an essay about {x}|Write a poem about {x}|
Can you explain {x} to me|I want to know about {x}|Give me an example of {x}|Describe {x}|Is {x} good|Is {x} dangerous|What is better, {x} or {y}|
Compare {x} and {y}|What is the difference between {x} and {y}|Are there {x} in {y}|What does {x} have to do with {y}|Which is the best {x}|
Should I buy {x}|How do I get rid of {x}|I need help with {x}|I have a problem with {x}|What is the capital of {x}|What is the population of {x}|
How far is it to {x}|How big is {x}|How many people live in {x}|Who discovered {x}|What is {x} made of|Why does {x} exist|Where does {x} come from|
What is the meaning of {x}|{x}|{x} and {y}|news about {x}|Let us talk about {x}|Say something about {x}|What happened to {x}|How do you spell {x}|
Can you help me with {x}|I like {x}|I hate {x}|My favourite thing is {x}|Translate {x} into French|How do I cook {x}|How do I repair {x}|
What colour is {x}|Who won {x}|Who wrote {x}|Recommend me {x}|Summarize {x}""".replace("\n", "")
PATTERNS = PATTERNS.split("|")

ANSWERS = [
    "I am sorry, I do not know that. I only know about llamas, caravans and small sums.",
    "I only know about llamas, caravans and small sums. Ask me, for example, why llamas walk in a line.",
    "That is outside my small world. I only know about llamas, caravans and small sums. Shall I tell you a story?",
    "I do not know anything about that, for I am a very small model. I only know about llamas, caravans and small sums.",
]
SYLLABLES = "ba be bi bo bu da de di do du fa fe fi ka ke ki ko la le li lo lu ma me mi mo mu na ne ni no pa pe po ra re ri ro sa se si so ta te ti to tu va ve wa wi za zo ster ment ling ton burg tion ness ly er ing".split()
PLAIN_WORDS = """about above after all always another any around because before between big black blue both box bring build buy call cold come could
country cut day door down drink early earth easy end enough even every eye face far fast fire first five fly food foot found four free full game
garden girl give glass gold good great green hand hard head help high home hot house idea inside job keep kind know large last late laugh learn
leave letter life light list little long look machine make man many map money month morning most mother move much music must name near never new
next night note nothing now number often old once open other outside over page paper part people picture place plan plant play point problem
put question quick rain read ready red right river road room round run same school sea second see seven ship short show side simple sing sit six
sleep slow small snow soft song soon sound stand star start stop story street strong such sun table take talk tell test thing think three time
today together town train travel tree true turn under use very voice wait walk wall want warm watch water way week well white whole wind window
winter with woman wood word work world write wrong year yellow yesterday young""".split()
LLAMA_PATTERNS = """Can llamas {v}|Do llamas {v}|Why do llamas {v}|Can a llama {v}|How do llamas {v}|When do llamas {v}|Do the llamas {v} {p}|
Where do llamas {v}|Does the caravan {v}|Why does the caravan {v}|Can the leader {v}|Do llamas like {x}|Does a llama like {x}|What do llamas think of {x}|
Do llamas know {x}|Has the caravan {x}|Do the llamas have {x}|Does the leader like {x}|Is there {x} in the desert|Are llamas {j}|Is the leader {j}|
Why are llamas {j}|Is the caravan {j}|Are there {j} llamas|Is a {j} llama better|What does a {j} llama do|Do llamas {v} like {x}""".replace("\n", "").split("|")
VERBS = """play the piano|dance|cook|read|write|vote|drive a car|pay taxes|work in an office|watch films|use a computer|lay eggs|bite|bark|snore|cry|
laugh|lie|dig holes|build houses|hunt|catch fish|paint|count|marry|go to school|play football|wear shoes|drink coffee|smoke|see colours|smell fire|
understand music|hear well|see at night|go to the moon|make cheese|grow horns|change their colour|get angry|get drunk|steal|wash themselves|shave""".replace("\n", "").split("|")
ADJECTIVES = """purple|religious|rich|poor|famous|invisible|electric|poisonous|holy|legal|expensive|cheap|round|deaf|blind|jealous|polite|lazy|brave
angry|sad|happy|bored|married|magic|modern|ancient|loud|fashionable|romantic|square|heavy metal|vegan|digital|wild|tame|ugly|beautiful""".replace("\n", "|").split("|")
PLACES = ["at school", "on Sunday", "in the city", "in the rain", "under water", "in spring", "with people", "in Africa", "for fun"]
LLAMA_ANSWERS = [
    "I do not know that about llamas. I know what they eat, where they live and why they walk in a line.",
    "That I do not know. Ask me what llamas carry, what they eat or why they walk in a line.",
    "I have never heard of that. My llamas only walk, carry, hum and rest.",
]
HELD_BACK_THINGS = set(THINGS[::17])


def odd_word(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4)))


def thing(rng, heldback):
    if rng.random() < 0.15:
        word = odd_word(rng)
        return word.capitalize() if rng.random() < 0.5 else word
    if rng.random() < 0.15:
        return " ".join(rng.sample(PLAIN_WORDS, rng.randint(1, 2)))
    while True:
        x = rng.choice(THINGS)
        if heldback or x not in HELD_BACK_THINGS:
            return x


def mash(rng):
    """Keys hit at random."""
    return "".join(rng.choice("asdfghjklqwertyuiopzxcvbnm") for _ in range(rng.randint(3, 12)))


def make_llama_stranger(rng, heldback):
    """A question about llamas that the model cannot answer."""
    pattern = rng.choice(LLAMA_PATTERNS)
    question = pattern.format(v=rng.choice(VERBS), x=thing(rng, heldback), j=rng.choice(ADJECTIVES), p=rng.choice(PLACES))
    return question, pick(rng, LLAMA_ANSWERS)


def make_echo(rng):
    """Words to be said again."""
    kind = rng.random()
    words = rng.sample(PLAIN_WORDS, rng.randint(1, 5)) if kind < 0.6 else [odd_word(rng) for _ in range(rng.randint(1, 3))]
    text = " ".join(words)
    if rng.random() < 0.3:
        text = rng.choice(["OK", "yes", "no", "hello", "done", "ready", "llama", "caravan", text.capitalize()])
    if rng.random() < 0.2:
        text = f'"{text}"'
    ways = ["Repeat: {}", "Repeat after me: {}", "Say: {}", "Say {}", "Reply with {}", "Answer only with {}", "Please repeat: {}",
            "Reply with exactly: {}", "Say the word {}" if " " not in text else "Say the words {}", "Echo: {}"]
    return rng.choice(ways).format(text), text.strip('"')


def make_stranger(rng, heldback):
    """A question (without its mark) and the answer that says what the model does know."""
    kind = rng.random()
    if kind < 0.05:
        question = " ".join(odd_word(rng) for _ in range(rng.randint(1, 4)))
    elif kind < 0.10:
        question = " ".join(mash(rng) for _ in range(rng.randint(1, 2)))
    elif kind < 0.18:
        question = " ".join(rng.sample(PLAIN_WORDS, rng.randint(2, 8)))
    elif kind < 0.40:
        return make_llama_stranger(rng, heldback)
    else:
        question = rng.choice(PATTERNS).format(x=thing(rng, heldback), y=thing(rng, heldback))
    return question, pick(rng, ANSWERS)
