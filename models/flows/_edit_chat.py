"""An OpenAI-compatible chat endpoint that may write plans; off unless the user names one. Standard library only.

What it answers is never trusted: models/flows/plan_edit.py checks it field by field and falls back to rules.
"""
from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from urllib.error import URLError
from urllib.parse import urlsplit

from models.errors import BadInput
from models.flows.plan_edit import TOOLS, Chat

URL, MODEL, KEY = "ONESTROKE_CHAT_URL", "ONESTROKE_CHAT_MODEL", "ONESTROKE_CHAT_KEY"
TIMEOUT_S, MOST_BYTES = 20.0, 200_000
ASK = ('Turn the instruction into steps for an image editor. Answer with JSON only: {"steps": [{"tool": ..., "target": ..., "words": ..., "place": ..., '
       '"amount": number or null, "strength": number in 0..1 or null, "why": one short sentence}]}. target: what to look for, without an article; "" is the '
       'main thing, "everything" the whole picture, "background" what lies behind. words: what it becomes. Tools: '
       + "; ".join(f"{tool.id}: {tool.about}" for tool in TOOLS.values()))


def chat_from(env: Mapping[str, str]) -> Chat | None:
    """The chat that the environment names (ONESTROKE_CHAT_URL, such as http://127.0.0.1:8080/v1), or None. Raises BadInput for an address
    that is none."""
    url = env.get(URL, "").strip().rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"{URL} is no address of a chat endpoint: {url}", "Write for example http://127.0.0.1:8080/v1.")
    model, key = env.get(MODEL, "default"), env.get(KEY, "")
    return lambda instruction: ask(url, model, key, instruction)


def ask(url: str, model: str, key: str, instruction: str) -> str:
    """The text of the answer, without a fence around it. Raises BadInput when nobody answers."""
    body = {"model": model, "temperature": 0, "response_format": {"type": "json_object"},
            "messages": [{"role": "system", "content": ASK}, {"role": "user", "content": instruction}]}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            told = json.loads(answer.read(MOST_BYTES))
        text = told["choices"][0]["message"]["content"]
    except (URLError, TimeoutError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BadInput(f"The chat endpoint gave no answer ({type(error).__name__}).", f"Check {URL}.") from None
    return str(text).strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
