"""Sampling of icons: the writer's guesses kept to the grammar, by nucleus (Holtzman et al. 2020, section 3.1) and guided towards the words.

Every icon draws from a generator of its own, so it depends on its seed and not on its batch.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.errors import BadInput, Cancelled
from models.nets.icons import Cache, IconWriter
from models.vector.pathtokens import CLOSE, END, FIRST_POINT, GRID, MOVE, STROKE, Pen, allowed

LONGEST = 128                                        # tokens of one icon; the writer saw 64 and fewer, with a gap up to 130


@dataclass(frozen=True)
class Manner:
    """top_p in (0, 1]: how much of the likely is drawn from; guidance: 1 = as the writer guesses, more = closer to the words;
    source: index of the set whose manner is asked for, 0 = any."""
    top_p: float = 0.6
    guidance: float = 1.5
    source: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.top_p <= 1 and 0 <= self.guidance <= 10):
            raise BadInput("top_p lies in 0..1 and guidance in 0..10.")


@dataclass(frozen=True)
class Bounds:
    """Where points may lie, (left, top, right, bottom) in cells; one_path: nothing is closed and no other sub-path begun."""
    box: tuple[int, int, int, int] = (0, 0, GRID - 1, GRID - 1)
    one_path: bool = False


@dataclass(frozen=True)
class Written:
    """tokens: what was given, then what was written; ended: whether it came to an end of its own within LONGEST; fit: how much likelier
    the words made it, in nats (log p(icon | words) - log p(icon), by the writer itself); 0 without guidance."""
    tokens: tuple[int, ...]
    ended: bool
    fit: float = field(default=0.0, compare=False)


@torch.inference_mode()
def write(net: IconWriter, text: Tensor, given: Sequence[int], seeds: Sequence[int], manner: Manner = Manner(), ends_with: int = END,
          cancelled: Callable[[], bool] = lambda: False, bounds: Bounds = Bounds()) -> list[Written]:
    """One sequence a seed, each going on from `given`. text: [384] or one row a seed, of unit variance; ends_with: END, or BACK where
    `given` ends with the gap to fill; bounds: of what is written. Raises Cancelled."""
    hand = _Hand(net, text.expand(len(seeds), -1), given, seeds, manner, ends_with, bounds)
    while hand.open and hand.steps < LONGEST:
        if cancelled():
            raise Cancelled()
        hand.step()
    return [Written(tuple(row), i not in hand.open, float(hand.fit[i])) for i, row in enumerate(hand.rows)]


class _Hand:
    """The rows of one batch, their pens, and the cache of the network; with guidance every row is there twice, once without words."""

    def __init__(self, net: IconWriter, text: Tensor, given: Sequence[int], seeds: Sequence[int], manner: Manner, ends_with: int,
                 bounds: Bounds) -> None:
        self.net, self.manner, self.ends_with, self.bounds = net, manner, ends_with, bounds
        self.closes = given[0] == STROKE
        self.rows = [list(given) for _ in seeds]
        self.pens = [Pen() for _ in seeds]
        self.dice = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.open = set(range(len(seeds)))
        self.twice = 1 if manner.guidance == 1 else 2
        self.cache: Cache = []
        self.steps, self.fit = 0, torch.zeros(len(seeds))
        told = [[pen.take(token) for token in given] for pen in self.pens]
        words = torch.cat([text, torch.zeros_like(text)])[:len(text) * self.twice].to(net.embed_text.weight)
        source = torch.full((len(words),), manner.source, device=words.device)
        self.hidden = self._run(torch.cat([net.front(words, source), self._embedded(self.rows, told)], 1))

    def _embedded(self, tokens: list[list[int]], told: list[list[tuple[int, ...]]]) -> Tensor:
        device = self.net.embed_text.weight.device
        return self.net.embedded(torch.tensor(tokens, device=device), torch.tensor(told, device=device)).repeat(self.twice, 1, 1)

    def _run(self, x: Tensor) -> Tensor:
        return self.net.run(x, self.cache)[:, -1]

    def step(self) -> None:
        """One token for every row; rows that ended write on, unread."""
        allow = torch.stack([self._allowed(i) for i in range(len(self.rows))])
        live = torch.tensor([i in self.open for i in range(len(self.rows))])
        first = self._chosen(self.net.head_first(self.hidden), allow, live)
        column = (first - FIRST_POINT).clamp(min=0).to(self.hidden.device)
        row = self._chosen(self.net.rows(self.hidden, column.repeat(self.twice)), self._span(1).expand(len(first), -1), live & (first >= FIRST_POINT))
        tokens = torch.where(first >= FIRST_POINT, first + row * GRID, first).tolist()
        told = [pen.take(token) for pen, token in zip(self.pens, tokens, strict=True)]
        self.steps += 1
        for i in tuple(self.open):
            self.rows[i].append(tokens[i])
            if tokens[i] == self.ends_with:
                self.open.discard(i)
        if self.open:
            self.hidden = self._run(self._embedded([[t] for t in tokens], [[t] for t in told]))

    def _allowed(self, i: int) -> Tensor:
        """bool [symbols + GRID] of what row i may write next; an icon is not over before it began, one that is over ends again."""
        commands, point = allowed(self.pens[i].state, self.ends_with, self.closes)
        commands = [c for c in commands if (c != END or len(self.rows[i]) > 1) and not (self.bounds.one_path and c in (MOVE, CLOSE))]
        allow = torch.zeros(FIRST_POINT + GRID, dtype=torch.bool)
        allow[commands if commands or point else [self.ends_with]] = True
        allow[FIRST_POINT:] = self._span(0) if point else False
        return allow

    def _span(self, axis: int) -> Tensor:
        """bool [GRID]: the columns, or rows, that points may lie in."""
        cells = torch.arange(GRID)
        return (cells >= self.bounds.box[axis]) & (cells <= self.bounds.box[axis + 2])

    def _chosen(self, logits: Tensor, allow: Tensor, counts: Tensor) -> Tensor:
        """int64 [rows] on the CPU, from logits [rows * twice, N]; where `counts` [rows], what the words gave is added to `fit`."""
        logits = logits.float().cpu()
        asked, plain = logits.chunk(2) if self.twice == 2 else (logits, logits)
        if self.twice == 2:
            logits = plain + self.manner.guidance * (asked - plain)
        logits, asked, plain = (half.masked_fill(~allow, -torch.inf) for half in (logits, asked, plain))
        share, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
        share = share * (share.cumsum(-1) - share < self.manner.top_p)
        at = torch.stack([torch.rand((), generator=dice) for dice in self.dice])[:, None] * share.sum(-1, keepdim=True)
        place = (share.cumsum(-1) <= at).sum(-1, keepdim=True).clamp(max=share.shape[-1] - 1)
        chosen = order.gather(-1, place)
        gain = asked.log_softmax(-1).gather(-1, chosen) - plain.log_softmax(-1).gather(-1, chosen)
        self.fit += torch.where(counts, gain[:, 0], 0.0)
        return chosen[:, 0]
