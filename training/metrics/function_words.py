"""The words of English that hold a sentence together and name nothing in a picture.

Numbers are not among them: whoever says "two" has counted.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = words("a an the")
POSSESSIVES = words("his her its their my our your whose 's")
PRONOUNS = words(
    "he him she it they them i we us you who whom which that this these those there one ones "
    "another other others each some someone something himself herself itself themselves"
)
AUXILIARIES = words(
    "is are was were be been being am 's 're 'm 've 'd 'll has have had having do does did "
    "will would could should might must n't not"
)
CONJUNCTIONS = words("and or but nor while as if than because so when where")
PREPOSITIONS = words(
    "about above across after against along amid among amongst around at atop before behind below "
    "beneath beside besides between beyond by down during for from in inside into like near next "
    "of off on onto out outside over past through throughout to toward towards under underneath "
    "until up upon via with within without"
)
FUNCTION_WORDS = ARTICLES | POSSESSIVES | PRONOUNS | AUXILIARIES | CONJUNCTIONS | PREPOSITIONS
