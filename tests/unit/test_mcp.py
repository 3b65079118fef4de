"""The studio as an MCP server; the official `mcp` package is the client, over a real server and the tiny bases."""
from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import uvicorn
from mcp import Client
from PIL import Image
from starlette.applications import Starlette

from studio.api.mcp import Mcp
from studio.export import png
from studio.library.store import Library


@pytest.fixture
def server(tiny_engine: Callable, tmp_path: Path) -> Iterator[tuple[Mcp, str]]:
    library = Library(tmp_path / "library")
    mcp = Mcp(tiny_engine(cache_dir=tmp_path), library, "tiny-student")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(Starlette(routes=mcp.routes()), "127.0.0.1", port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield mcp, f"http://127.0.0.1:{port}/mcp"
    running.should_exit = True
    thread.join()
    library.close()


def talk(url: str, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Client(url) as client:
            return await work(client)
    return asyncio.run(run())


def test_an_assistant_paints_finds_and_reads(server: tuple[Mcp, str]) -> None:
    mcp, url = server

    async def work(client: Client) -> tuple[Any, ...]:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        first, again = [await client.call_tool("paint", {"prompt": "a red fox", "seed": 3, "width": 64, "height": 64, "steps": 1}) for _ in range(2)]
        read = await client.call_tool("read_picture", {"picture": first.content[0].data})
        found = await client.call_tool("search_library", {"words": "fox"})
        bigger = await client.call_tool("upscale", {"picture": first.content[0].data, "times": 2})
        models = await client.call_tool("models", {})
        return tools, first, again, read, found, bigger, models
    tools, first, again, read, found, bigger, models = talk(url, work)
    assert set(tools) == {"paint", "upscale", "read_picture", "search_library", "models"} and tools["paint"].input_schema["required"] == ["prompt"]
    pixels, job = png.decode(base64.b64decode(first.content[0].data))
    assert np.array_equal(pixels, png.decode(base64.b64decode(again.content[0].data))[0]) and job.prompt == "a red fox" and job.seeds == (3,)
    assert json.loads(read.content[0].text)["prompt"] == "a red fox" and len(json.loads(found.content[0].text)) == 2 == mcp.library.count()
    with Image.open(io.BytesIO(base64.b64decode(bigger.content[0].data))) as image:
        assert image.size == (128, 128)
    assert "tiny-student" in {model["id"] for model in json.loads(models.content[0].text)}


@pytest.mark.parametrize("tool,given,says", [
    ("paint", {}, "prompt is missing"), ("paint", {"prompt": "a", "steps": 900}, "outside 1..100"),
    ("paint", {"prompt": "a", "speed": 1}, "Unknown argument speed"),
    ("paint", {"prompt": "a", "base": "nothing"}, "nothing"), ("paint", {"prompt": "a", "width": "wide"}, "whole numbers"),
    ("paint", {"prompt": "a", "picture": "http://x"}, "not fetched"), ("read_picture", {"picture": "!!"}, "base64")])
def test_a_wrong_call_is_explained_to_the_assistant(server: tuple[Mcp, str], tool: str, given: dict, says: str) -> None:
    result = server[0].reply({"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": given}})["result"]
    assert result["isError"] and says in result["content"][0]["text"]


def test_what_is_no_call_gets_an_error_of_json_rpc(server: tuple[Mcp, str]) -> None:
    _, url = server
    post = lambda data, **headers: requests.post(url, data=data, headers={"Content-Type": "application/json"} | headers, timeout=10)
    assert post("{").json()["error"]["code"] == -32700 and post("[]").json()["error"]["code"] == -32600
    assert post('{"jsonrpc": "2.0", "id": 1, "method": "x"}').json()["error"]["code"] == -32601
    assert post('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}').json()["error"]["code"] == -32602
    assert post('{"jsonrpc": "2.0", "method": "notifications/initialized"}').status_code == 202
    assert post('{"jsonrpc": "2.0", "id": 1, "method": "ping"}', Origin="http://evil.example").status_code == 400
    assert post("x" * 10, **{"Content-Type": "text/plain"}).status_code == 400
