"""Stands in for Claude Code where there is no key, no node and no network: scripted, and it says so.

It speaks Claude Code's JSON lines, so that Shoal runs it like the real one, and really does something: it writes a file
named after the task, looks at it, and commits it. It understands --resume, and messages while it runs. Its tokens are
the words that it read and wrote; they cost nothing. examples/standin.toml says how it is configured.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import uuid
from pathlib import Path

MODEL = "scripted"
STEPS = 6  # over which the seconds are spread


class StandIn:
    """One run: a session, the words of its conversation, and what it has spent."""

    def __init__(self, session: str, seconds: float) -> None:
        self.session = session
        self.pause = seconds / STEPS
        self.told: queue.Queue[dict[str, object] | None] = queue.Queue()
        self.read = 0
        self.written = 0
        self.totals = {"inputTokens": 0, "outputTokens": 0}
        self.turns = 0
        self.notes: list[str] = []
        self.open = True

    def run(self) -> None:
        """Answer what is said on standard input, until it is closed."""
        threading.Thread(target=self.listen, daemon=True).start()
        while self.open:
            first = self.told.get()
            if first is None:
                return
            self.put("system", subtype="init", cwd=str(Path.cwd()), model=MODEL, tools=["Bash", "Write"])
            text = self.hear(first)
            try:
                self.work(text)
            except OSError as error:
                self.result(f"I could not do it: {error}", is_error=True)

    def listen(self) -> None:
        """Take messages in while it works."""
        for line in sys.stdin:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict) and said.get("type") == "user":
                self.told.put(said)
        self.told.put(None)

    def work(self, prompt: str) -> None:
        """Do the task: the same few steps each time."""
        task = os.environ.get("SHOAL_TASK_ID") or "task"
        title = os.environ.get("SHOAL_TASK_TITLE") or first_line(prompt)
        folder = checkout()
        file = folder / f"{slug(f'{task} {title}')}.md"
        again = file.exists()
        self.say(
            f"I am a stand-in for an agent: scripted, no model. {task}: {title}."
            + (" I worked on it before, and add to it." if again else f" I shall write {file.name} and commit it.")
        )
        self.shell("git status --short --branch" if is_checkout(folder) else "ls -la", folder)
        self.write(
            file, f"# {title}\n\nWritten for {task} by a scripted stand-in.\n" if not again else "\nOnce more.\n"
        )
        self.shell(f"wc -w {file.name}", folder)
        self.heed(file)
        done = f"{file.name} says what {task} is about"
        if is_checkout(folder):
            identity = "" if configured(folder) else "-c user.name=stand-in -c user.email=stand-in@localhost "
            message = shlex.quote(f"{task}: {'add to' if again else 'add'} {file.name}")
            commit = f"git add -- {file.name} && git {identity}commit -q -m {message} && git log -1 --oneline"
            failed = self.shell(commit, folder)
            done += ", but git refused to commit it" if failed else ", and is committed"
        text = f"Done: {done}. (I am scripted: nothing was thought about.)"
        self.say(text, last=True)
        self.heed(file)
        self.result(text)

    def heed(self, file: Path) -> None:
        """Add what people said meanwhile."""
        while self.notes:
            note = self.notes.pop(0)
            self.say(f"You said: {note} I note it in {file.name}.")
            self.write(file, f"\n> {note}\n")

    def hear(self, said: dict) -> str:
        """Take in a message, and say that it was."""
        content = said.get("message", {}).get("content", "")
        if isinstance(content, list):
            content = "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
        self.read += len(str(content).split())
        self.put("user", uuid=said.get("uuid") or str(uuid.uuid4()), isReplay=True, message=said.get("message"))
        return str(content).strip()

    def wait(self) -> None:
        """Take the time that a step takes; messages are heard at once."""
        try:
            said = self.told.get(timeout=self.pause)
        except queue.Empty:
            return
        if said is None:
            # Closed: nobody has more to say, and what is begun is finished without waiting for more.
            self.open = False
            threading.Event().wait(self.pause)
        else:
            self.notes.append(self.hear(said))

    def say(self, text: str, *, last: bool = False) -> None:
        """One message."""
        self.assistant({"type": "text", "text": text}, words=text, stop="end_turn" if last else "pause_turn")
        self.wait()

    def write(self, file: Path, text: str) -> None:
        """Write to a file, as a call of a tool."""
        call = self.call("Write", {"file_path": str(file), "content": text})
        with file.open("a", encoding="utf-8") as opened:
            opened.write(text)
        self.answer(call, f"{len(text.splitlines())} lines written to {file.name}")

    def shell(self, command: str, folder: Path) -> bool:
        """Run a command, as a call of a tool; whether it failed."""
        call = self.call("Bash", {"command": command})
        done = subprocess.run(  # noqa: S602 - our own commands, with names made of letters
            command, shell=True, cwd=folder, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
        )
        failed = done.returncode != 0
        said = (done.stdout + done.stderr).strip()
        self.answer(call, f"exit {done.returncode}\n{said}" if failed else said, is_error=failed)
        return failed

    def call(self, name: str, arguments: dict) -> str:
        """A tool is called; its id."""
        name_of_call = f"toolu_{uuid.uuid4().hex[:20]}"
        block = {"type": "tool_use", "id": name_of_call, "name": name, "input": arguments}
        self.assistant(block, words=json.dumps(arguments), stop="tool_use")
        self.wait()
        return name_of_call

    def answer(self, call: str, text: str, *, is_error: bool = False) -> None:
        """A tool has answered."""
        self.read += len(text.split())
        block = {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": is_error}
        self.put("user", message={"role": "user", "content": [block]})

    def assistant(self, block: dict, *, words: str, stop: str) -> None:
        """What a model would have said in one call."""
        output = len(words.split())
        usage = {"input_tokens": self.read, "output_tokens": output}
        usage |= {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        message = {"id": f"msg_{uuid.uuid4().hex[:20]}", "type": "message", "role": "assistant", "model": MODEL}
        self.put("assistant", message=message | {"content": [block], "stop_reason": stop, "usage": usage})
        self.turns += 1
        self.totals["inputTokens"] += self.read
        self.totals["outputTokens"] += output
        self.read = 0

    def result(self, text: str, *, is_error: bool = False) -> None:
        """The last word."""
        sums = self.totals | {"cacheReadInputTokens": 0, "cacheCreationInputTokens": 0, "costUSD": 0}
        usage = {"input_tokens": sums["inputTokens"], "output_tokens": sums["outputTokens"]}
        self.put(
            "result",
            subtype="error_during_execution" if is_error else "success",
            is_error=is_error,
            result=text,
            num_turns=self.turns,
            total_cost_usd=0,
            usage=usage,
            modelUsage={MODEL: sums},
        )

    def put(self, kind: str, **content: object) -> None:
        """One line of the stream."""
        line = {"type": kind, "session_id": self.session, "uuid": str(uuid.uuid4()), "parent_tool_use_id": None}
        print(json.dumps(line | content), flush=True)


def checkout() -> Path:
    """The folder, or the first checkout in it when it holds several."""
    here = Path.cwd()
    inner = sorted(path for path in here.iterdir() if (path / ".git").exists())
    return here if is_checkout(here) or not inner else inner[0]


def is_checkout(folder: Path) -> bool:
    """Whether the folder is the root of a work tree; one that only lies in somebody's repository is not."""
    return (folder / ".git").exists()


def configured(folder: Path) -> bool:
    """Whether git knows who commits."""
    asked = ["git", "-C", str(folder), "config", "user.email"]
    return subprocess.run(asked, capture_output=True).returncode == 0  # noqa: S603


def first_line(text: str) -> str:
    """What a prompt is about, when nothing else says it."""
    return next((line.strip("# ") for line in text.splitlines() if line.strip("# ")), "something")[:80]


def slug(text: str) -> str:
    """Letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:60].strip("-") or "task"


def session_of(resume: str | None) -> str:
    """The session that is continued, by its name or its transcript, or a new one."""
    name = Path(resume).stem if resume else ""
    return name if re.fullmatch(r"[0-9A-Za-z_-]{1,100}", name) else str(uuid.uuid4())


def main() -> None:
    """Understand the options that matter here; Claude Code's others are passed over."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long a task takes, about")
    parser.add_argument("--resume", help="the session to continue")
    options, _ = parser.parse_known_args()
    StandIn(session_of(options.resume), max(0.0, options.seconds)).run()


if __name__ == "__main__":
    main()
