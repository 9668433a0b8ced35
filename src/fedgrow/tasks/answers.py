"""How an answer is held against the true one: SQuAD's definitions (Rajpurkar et al., 2016 and 2018)."""

import re
import string
from collections import Counter

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(text: str) -> list[str]:
    """Return the words that count: lower case, without punctuation and articles."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def exact_match(predicted: str, true: str) -> float:
    """Return 1 if the words that count are the same ones in the same order, else 0."""
    return float(words(predicted) == words(true))


def overlap(predicted: str, true: str) -> float:
    """Return the F1 of the words that count, repeated ones as often as in both; with none on a side, exact match."""
    found, wanted = words(predicted), words(true)
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))
