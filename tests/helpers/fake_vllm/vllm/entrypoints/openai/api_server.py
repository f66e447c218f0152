"""In vLLM's place: takes its flags and speaks its API; does wrong what its environment says.

FAKE_VLLM_FOLDER  a folder: each start and each request becomes a line of ``seen.jsonl`` there
FAKE_VLLM_EXIT    say this and end with status 3
FAKE_VLLM_SICK    never become healthy
FAKE_VLLM_TALK    print so many lines first
FAKE_VLLM_DIE     end in the middle of the n-th request
FAKE_VLLM_CHILD   start a process that outlives its parent, in a session of its own
FAKE_VLLM_SECONDS how long an answer takes
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

FIRST = "<thought> A look. </thought>\n<execute> 6 * 7 </execute>"
REHEARSAL = "Hello again"
LAST = "The answer is <solution> 42 </solution>"


class Server:
    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.asked = 0

    def note(self, **facts: Any) -> None:
        line = {"port": self.port, "pid": os.getpid(), **facts}
        with (Path(os.environ["FAKE_VLLM_FOLDER"]) / "seen.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(status=503 if os.environ.get("FAKE_VLLM_SICK") else 200)

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.name}]})

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        messages = body["messages"]
        if messages[0]["content"] == REHEARSAL:
            return self.answer("ok")
        self.asked += 1
        self.note(first=messages[0]["content"], seed=body["seed"], messages=len(messages))
        if self.asked == int(os.environ.get("FAKE_VLLM_DIE", "0")):
            os._exit(1)
        await asyncio.sleep(float(os.environ.get("FAKE_VLLM_SECONDS", "0")))
        return self.answer(FIRST if len(messages) < 3 else LAST)

    def answer(self, text: str) -> web.Response:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return web.json_response({"id": "fake", "choices": [choice], "usage": usage})


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tensor-parallel-size", type=int)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--enforce-eager", action="store_true")
    options = parser.parse_args()
    for number in range(int(os.environ.get("FAKE_VLLM_TALK", "0"))):
        sys.stdout.write(f"INFO line {number}\n")
    if words := os.environ.get("FAKE_VLLM_EXIT"):
        sys.stderr.write(f"{words}\n")
        sys.exit(3)
    server = Server(options.served_model_name, options.port)
    child = None
    if os.environ.get("FAKE_VLLM_CHILD"):
        child = subprocess.Popen(["sleep", "600"], start_new_session=True).pid
    server.note(started=sys.argv[1:], child=child, environment=dict(os.environ))
    app = web.Application()
    app.router.add_get("/health", server.health)
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    web.run_app(app, host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
