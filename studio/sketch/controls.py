"""The knobs of the sketch tab as one checked value, as the page sends them."""
from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from models.errors import BadInput
from models.job import MAX_PROMPT_CHARS, MAX_SEED
from studio.live.controls import Controls
from studio.sketch.inks import OBJECTS

MODES = ("sketch", "colour", "scene")
REACH_PX = (7, 117)                                  # on the 512 px canvas (Block and Detail's own range)
_INK = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class ObjectWords:
    """What the strokes of one colour are to become."""
    ink: str
    words: str = ""
    seed: int = 0


@dataclass(frozen=True)
class SketchControls(Controls):
    """`obey`: strength of the control, 0 ignores the lines. `control`: id of a control adapter, "" = the best that fits. `loose`: of
    lines that a pair reads, from 0 = exact to 1 = they are not looked at (models.nets.pair.loosened); other controls do not know it. `reach`: px around block
    strokes that the second pass may change. `objects`: what the colours mean in a scene."""
    mode: str = "sketch"
    obey: float = 1.0
    control: str = ""
    loose: float = 0.0
    second_pass: bool = True
    reach: int = 65
    reference_strength: float = 1.0
    objects: tuple[ObjectWords, ...] = ()

    def updated(self, values: dict) -> SketchControls:
        values = dict(values)
        if "objects" in values:
            values["objects"] = _objects(values["objects"])
        new = super().updated(values)
        if new.mode not in MODES:
            raise BadInput(f"There is no way of sketching called {new.mode[:40]!r}.", f"Known: {', '.join(MODES)}.")
        if not 0 <= new.loose <= 1:
            raise BadInput(f"Lines cannot be {new.loose} loose.", "Choose 0 to 1.")
        if not REACH_PX[0] <= new.reach <= REACH_PX[1]:
            raise BadInput(f"The second pass cannot reach {new.reach} px.", f"Choose {REACH_PX[0]} to {REACH_PX[1]}.")
        return new

    def to_dict(self) -> dict:
        return asdict(self) | {"objects": [asdict(o) for o in self.objects]}


def _objects(values: object) -> tuple[ObjectWords, ...]:
    if not isinstance(values, list) or len(values) > len(OBJECTS):
        raise BadInput(f"A scene is a list of at most {len(OBJECTS)} objects.")
    return tuple(map(_object, values))


def _object(value: object) -> ObjectWords:
    if not isinstance(value, dict) or set(value) - {"ink", "words", "seed"}:
        raise BadInput("An object of a scene has an ink, words and a seed.")
    ink, words, seed = value.get("ink"), value.get("words", ""), value.get("seed", 0)
    if not isinstance(ink, str) or not _INK.fullmatch(ink) or ink not in OBJECTS:
        raise BadInput(f"No object is drawn in {str(ink)[:20]!r}.", f"Inks of objects: {', '.join(OBJECTS)}.")
    if not isinstance(words, str) or len(words) > MAX_PROMPT_CHARS or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise BadInput("The words or the seed of an object cannot be used.")
    return ObjectWords(ink, words, seed)
