"""Words for pictures: the same thing said in several ways, so that a typed prompt need not match one template."""
from __future__ import annotations

import numpy as np

from models.lab.items import Item

_PLURAL_LOOKALIKES = ("glass", "bus", "cactus", "compass", "lotus", "octopus", "walrus", "tennis", "chess", "canvas", "iris", "lens")


def article(label: str) -> str:
    """"fox" -> "a fox"; plurals, numbers and names that carry their own article stay as they are."""
    first, last = label.split()[0], label.split(",")[0].split()[-1]
    if first in ("a", "an", "the", "two", "three", "hands", "people", "men", "women") or first[0].isdigit():
        return label
    if last.endswith("s") and not last.endswith(("ss", "us")) and last not in _PLURAL_LOOKALIKES:
        return label
    return ("an " if first[0] in "aeiou" and not first.startswith(("uni", "one", "euro")) else "a ") + label


def captions(item: Item, rng: np.random.Generator, style: str = "", where: str = "", colored: bool = True) -> list[str]:
    """Three ways to ask for `item`; `where` is a background phrase such as "on a blue background"."""
    style = style or item.style
    thing = f"{item.color} {item.label}" if item.color and colored and not item.label[0].isdigit() else item.label
    tail = f", {where}" if where else ""
    short = style.removesuffix(" style")
    forms = [f"{article(thing)}{tail}, {style}", f"{article(item.label)}{tail}, {style}",
             f"{short} of {article(item.label)}{tail}", f"{thing}{tail}, {style}", f"{item.label}{tail}, {short}"]
    words = [k for k in item.keywords if k != item.label and len(k) > 2]
    if words:
        picked = list(rng.choice(words, min(len(words), int(rng.integers(1, 4))), replace=False))
        forms.append(f"{item.label}, {', '.join(picked)}{tail}, {style}")
    forms.append(f"{article(item.label)}{tail}")
    first = forms[0]
    rest = list(rng.choice(forms[1:], 2, replace=False))
    return [first, *rest]


def scene_caption(names: list[str], centres: list[float], where: str, style: str) -> str:
    """What is where, left to right: "a fox on the left and an apple on the right, on a beach, flat emoji style"."""
    order = np.argsort(centres)
    names = [article(names[i]) for i in order]
    if len(names) == 1:
        said = names[0]
    elif len(names) == 2:
        said = f"{names[0]} on the left and {names[1]} on the right"
    else:
        said = ", ".join(names[:-1]) + " and " + names[-1]
    return f"{said}, {where}, {style}"
