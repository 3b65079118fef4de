"""What stands before a base's tokenizer or text encoder while learned words are attached, and goes when the last one goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from models.contracts import Base


@dataclass(frozen=True)
class Vectors:
    """`rows` [n, text width] that take the place of `word`."""

    word: str
    rows: Tensor
    strength: Callable[[], float]


def finder(words: Iterable[str]) -> re.Pattern[str] | None:
    """Finds whole words whatever their case, longer ones first; None for no words."""
    parts = sorted((re.escape(word.strip().lower()) for word in words), key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(parts)})(?!\w)", re.IGNORECASE) if parts else None


class WordReader:
    """Stands in for `base.tokenizer`: learned words become ids below 0, which a hook on the embedding table turns into their vectors.

    Ids below 0 so that encoders that look for the highest id, where the end of text is, still find it.
    """

    def __init__(self, base: Base, tokenizer: str, encoder: str) -> None:
        self.base, self.name, self.inner = base, tokenizer, getattr(base, tokenizer)
        self.table: nn.Embedding = getattr(base, encoder).get_input_embeddings()
        self.known: dict[int, Vectors] = {}          # first id -> vectors
        self._hooks: list[Any] = []

    @classmethod
    def of(cls, base: Base, tokenizer: str, encoder: str) -> WordReader:
        """The reader that is there, or a new one, not yet in place."""
        there = getattr(base, tokenizer)
        return there if isinstance(there, cls) else cls(base, tokenizer, encoder)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    @contextmanager
    def knowing(self, vectors: Vectors) -> Iterator[None]:
        """Knows these vectors while inside."""
        first = min((id - len(v.rows) for id, v in self.known.items()), default=-1)
        if not self.known:
            setattr(self.base, self.name, self)
            self._hooks = [self.table.register_forward_pre_hook(self._hide), self.table.register_forward_hook(self._put)]
        self.known[first] = vectors
        try:
            yield
        finally:
            del self.known[first]
            if not self.known:
                setattr(self.base, self.name, self.inner)
                for hook in self._hooks:
                    hook.remove()

    def __call__(self, text: str, **options: Any) -> Any:
        """Like the tokenizer for text without a learned word; else only `input_ids`, start and end included."""
        active = {v.word.strip().lower(): (first, v) for first, v in self.known.items() if v.strength() != 0}
        find = finder(active)
        if find is None or not find.search(text):
            return self.inner(text, **options)
        start, end = self.inner("", **options).input_ids[:2]
        ids: list[int] = []
        for i, piece in enumerate(find.split(text)):
            if i % 2:
                first, vectors = active[piece.lower()]
                ids += range(first, first - len(vectors.rows), -1)
            else:
                ids += self.inner(piece, **options).input_ids[1:-1]
        return SimpleNamespace(input_ids=[start, *ids, end])

    def _hide(self, table: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The table itself sees id 0 in the place of a vector."""
        self._seen = args[0]
        return (args[0].clamp_min(0), *args[1:])

    def _put(self, table: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        """mean + strength * (vector - mean) over the table's mean word, at the places of ids below 0."""
        seen, self._seen = self._seen, None
        if seen is None or not (seen < 0).any():
            return out
        out, mean = out.clone(), self.table.weight.float().mean(0)
        for first, v in self.known.items():
            rows = torch.lerp(mean.expand_as(v.rows), v.rows.to(mean.device), v.strength())
            for i, row in enumerate(rows):
                out[seen == first - i] = row.to(out.dtype)
        return out


class ConceptReader:
    """Stands in for `base.text`, the embedded base's text encoder: concepts replace the states of their class word."""

    def __init__(self, base: Base) -> None:
        self.base, self.inner, self.known = base, base.text, []

    @classmethod
    def of(cls, base: Base) -> ConceptReader:
        """The reader that is there, or a new one, not yet in place."""
        return base.text if isinstance(base.text, cls) else cls(base)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    @contextmanager
    def knowing(self, concept: Any) -> Iterator[None]:
        """Knows a concept (word, class_word, tokens, pooled, strength) while inside."""
        if not self.known:
            self.base.text = self
        self.known.append(concept)
        try:
            yield
        finally:
            self.known.remove(concept)
            if not self.known:
                self.base.text = self.inner

    def encode(self, texts: Iterable[str]) -> list[Any]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Any:
        """Read with class words, then put the concepts' tokens in; text without a learned word is read as ever."""
        active = {c.word.strip().lower(): c for c in self.known if c.strength != 0}
        find = finder(active)
        if find is None or not find.search(text):
            return self.inner.encode([text])[0]
        plain, spans = "", []
        for i, piece in enumerate(find.split(text.strip().lower())):
            if i % 2:
                concept = active[piece]
                spans.append((len(plain), len(plain) + len(concept.class_word), concept))
                piece = concept.class_word
            plain += piece
        return self._replaced(self.inner.encode([plain])[0], self.inner.tokenizer.encode(plain).offsets, spans)

    @staticmethod
    def _replaced(read: Any, offsets: list[tuple[int, int]], spans: list[tuple[int, int, Any]]) -> Any:
        """TextStates with the states of each span replaced; words beyond the last token that is read change nothing."""
        inside, pooled, rows, done = offsets[: len(read.states) - 1], read.pooled, [], 0
        for start, end, concept in spans:
            places = [i for i, (a, b) in enumerate(inside) if a < end and b > start and b > a]
            if not places:
                continue
            own, tokens = read.states[places].mean(0), concept.tokens.to(read.states)
            rows += [read.states[done : places[0]], torch.lerp(own.expand_as(tokens), tokens, concept.strength)]
            done = places[-1] + 1
            if concept.pooled is not None:
                pooled = pooled + concept.strength * concept.pooled.to(pooled)
        return replace(read, states=torch.cat([*rows, read.states[done:]]), pooled=pooled)
