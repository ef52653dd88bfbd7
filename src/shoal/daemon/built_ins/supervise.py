"""The built-in job `supervise`: a round of supervision by a job's clock, beside those of the server's own loop."""

from __future__ import annotations

from shoal.daemon.built_ins.context import Context
from shoal.daemon.executors import Executors
from shoal.daemon.supervisor import Supervisor, forge_of
from shoal.live_settings import LiveSettings


def run(context: Context) -> str:
    """Look after orphans, what is overdue or stale, and what awaits QA: one round of supervision, now."""
    forge, remark = forge_of(context.engine.settings)
    if remark:
        context.say(f"{remark}\n")
    # Of its own, so that it is the same with a server and without: whoever makes the round, only one makes it.
    executors = Executors(context.home, LiveSettings(context.home))
    supervisor = Supervisor(context.engine, forge, executors, remark)
    try:
        if not supervisor.tick():
            return "another round is under way; nothing was done\n"
    finally:
        context.say("".join(f"{line}\n" for line in supervisor.done))
        supervisor.close()
        executors.close()
    return "" if supervisor.done else "nothing to do\n"
