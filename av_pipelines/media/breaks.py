"""What it costs to break text between two words: at a line's end, or at a subtitle's.

Here: the cost of a break, from punctuation, grammar, names, scripts, and how wide text is. Not
here: choosing breaks (of subtitles: the room of transcripts; of words on a picture: that of
videos). Sources: the segmentation rules of Netflix's General Requirements (line treatment) and the
BBC's subtitle guidelines (line breaks); for Chinese and Japanese, W3C's *Requirements for Japanese
Text Layout*, 3.1.7 (what may not begin or end a line).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from av_pipelines.media.grammar import GRAMMARS, NONE, TITLES, Grammar

SENTENCE, SEGMENT, CLAUSE, CONJUNCTION, PREPOSITION, ANYWHERE = 0.0, 0.5, 1.0, 2.0, 2.5, 4.0
NEVER = 100.0
"""From this cost on a break is one that the rules forbid."""

_SENTENCE_ENDS = ".!?…。！？؟۔।॥።"
_CLAUSE_ENDS = ",;:–—、，；：،؛·"
_CLOSING = "\"'”’»›)]}）」』】〉》"
_OPENING = "\"'“‘«‹([{（「『【〈《¿¡"
# 3.1.7: closing brackets, hyphens, dividing marks, full stops and commas, iteration and prolonged
# sound marks, and small kana do not begin a line.
_NOT_FIRST = set(
    "）」』】〉》〕］｝、。，．・：；？！‐ー゛゜ヽヾゝゞ々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ…"
    ")]},.:;?!%％"
)
_NOT_LAST = set("（「『【〈《〔［｛([{$€£¥￥＄")

_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3000-\u30ff\u3100-\u312f\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Break:
    """A place between two words: what a break there costs, and which rule forbids it, if one."""

    cost: float
    forbidden: str | None = None


def breaks_of(
    texts: Sequence[str], spaced: Sequence[bool], segment_ends: Sequence[bool], language: str | None
) -> list[Break]:
    """Judge the places between words.

    Args:
        texts: the n words.
        spaced: whether a blank stands before each.
        segment_ends: whether the recogniser (or the lines of a given text) ended after each.
        language: code; decides which words are articles, conjunctions, prepositions.

    Returns:
        n + 1 breaks: before the first word (free), between words, after the last (free).
    """
    grammar = GRAMMARS.get(language or "", NONE)
    memory: dict[tuple[str, str, bool, bool], Break] = {}
    found = [Break(SENTENCE)]
    for i in range(1, len(texts)):
        key = (texts[i - 1], texts[i], spaced[i], segment_ends[i - 1])
        if key not in memory:
            memory[key] = _judge(*key, grammar)
        found.append(memory[key])
    return [*found, Break(SENTENCE)] if texts else found


def _judge(before: str, after: str, spaced: bool, segment_end: bool, grammar: Grammar) -> Break:
    if not spaced and (forbidden := _unspaced(before, after)):
        return Break(NEVER, forbidden)
    bare = before.rstrip(_CLOSING)
    left, right = _plain(before), _plain(after)
    abbreviated = bare.endswith(".") and (left in TITLES or (len(left) == 1 and left.isalpha()))
    if bare[-1:] and bare[-1] in _SENTENCE_ENDS and not abbreviated:
        return Break(SENTENCE)
    if segment_end:
        return Break(SEGMENT)
    if bare[-1:] and bare[-1] in _CLAUSE_ENDS:
        return Break(CLAUSE)
    if not spaced:
        return Break(CONJUNCTION if _begins_phrase(before[-1], after[0]) else 1.5 * ANYWHERE)
    if left in grammar.binds:
        return Break(NEVER, "article | noun")
    if left in TITLES or _is_name(before, after, left, right, grammar):
        return Break(NEVER, "first | last name")
    if right in grammar.conjunctions:
        return Break(CONJUNCTION)
    if left in grammar.prepositions or left in grammar.conjunctions:
        return Break(2 * ANYWHERE)  # it belongs to what follows
    if right in grammar.prepositions:
        return Break(PREPOSITION)
    if before[-1:].isdigit() and spaced:
        return Break(1.5 * ANYWHERE)  # 5 km
    return Break(ANYWHERE)


def _unspaced(before: str, after: str) -> str | None:
    if not (_SPACELESS.search(before[-1:]) or _SPACELESS.search(after[:1])):
        return "inside a word"
    if after[0] in _NOT_FIRST or before[-1] in _NOT_LAST:
        return "punctuation | text"
    if before[-1].isascii() and before[-1].isalnum() and after[0].isascii():
        return "inside a word"
    return None


def _begins_phrase(before: str, after: str) -> bool:
    """Japanese: after hiragana (endings, particles), kanji or katakana mostly begin a phrase."""
    return "\u3041" <= before <= "\u309f" and not "\u3041" <= after <= "\u309f"


def _plain(word: str) -> str:
    return word.strip(_OPENING + _CLOSING + _SENTENCE_ENDS + _CLAUSE_ENDS).lower()


def _is_name(before: str, after: str, left: str, right: str, grammar: Grammar) -> bool:
    """Two words with capitals, neither a function word nor all in capitals: Angela Merkel."""
    first, last = before.lstrip(_OPENING), after.lstrip(_OPENING)
    if not (first[:1].isupper() and last[:1].isupper()):
        return False
    initial = len(left) == 1
    if (first.isupper() and not initial) or (last.isupper() and len(right) > 1):
        return False
    words = {left, right}
    return not words & (grammar.binds | grammar.conjunctions | grammar.prepositions | {"i"})


# ---------------------------------------------------------------------- how wide text is


def columns(text: str) -> int:
    """Return the width of text on a screen: 2 for a full-width character, 0 for a mark on one.

    Unicode Standard Annex 11 (East Asian Width); emoji sequences joined by U+200D count once.
    """
    if text.isascii():
        return len(text)
    width, joined = 0, False
    for character in text:
        if character == "\u200d":
            joined = True
            continue
        if not joined and unicodedata.category(character) not in ("Mn", "Me", "Cf"):
            width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        joined = False
    return width


def characters(text: str) -> int:
    """Return how many characters are read: marks on a character and joiners do not count."""
    if text.isascii():
        return len(text)
    return sum(unicodedata.category(c) not in ("Mn", "Me", "Cf") for c in text)


def is_spaceless(text: str) -> bool:
    """Return whether a word is in a script that has no blanks between words."""
    return _SPACELESS.search(text) is not None


def clusters(text: str) -> list[str]:
    """Cut text between characters that stand for themselves; marks stay with what they are on.

    A simple form of Unicode Standard Annex 29: combining marks, joiners and variation selectors
    go with the character before, U+200D also joins the next, and in Thai and Lao a vowel written
    first stays with its consonant.
    """
    found: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if found and (
            category in ("Mn", "Me", "Mc", "Cf")
            or found[-1][-1] == "\u200d"
            or found[-1][-1] in "เแโใไເແໂໃໄ"
            or character in "ะาำຳະາๅ"
            or 0x1F3FB <= ord(character) <= 0x1F3FF
        ):
            found[-1] += character
        else:
            found.append(character)
    return found
