"""Words that name things, found by rules."""
from __future__ import annotations

import pytest

from models.nouns import nouns_of, words_of


@pytest.mark.parametrize("text, nouns", [
    ("a tall green tree with red apples on a hill", ["tree", "apples", "hill"]),
    ("a flat icon of a cat face", ["cat", "face"]),
    ("a photo", ["photo"]),
    ("something red", ["something"]),
    ("red", ["red"]),
    ("the", ["the"]),
    ("a cat and a cat", ["cat"]),
    ("", []),
    ("  ,.! ", []),
    ("ein grüner Ärmel", ["ein", "grüner", "ärmel"]),
])
def test_what_names_a_thing(text: str, nouns: list[str]) -> None:
    assert [noun.text for noun in nouns_of(text)] == nouns


def test_words_know_where_they_stand() -> None:
    text = "A Red-hot  car's wheel"
    assert [text[w.start:w.end] for w in words_of(text)] == ["A", "Red-hot", "car's", "wheel"]
    assert [w.text for w in words_of(text)][1] == "red-hot"
