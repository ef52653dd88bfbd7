"""`shoal`: where every command is found. A command's module is loaded only when it runs."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import Any

import click

import shoal
from shoal.cli.errors import colour, tell
from shoal.errors import ShoalError

# name -> (module, what it does); the commands of `shoal task` have short forms here.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("home", "Make a Shoal home: database, settings, folders."),
    "serve": ("serve", "Run the server: HTTP, and the loops that keep the ledger."),
    "work": ("work", "Claim tasks and let agents work on them."),
    "dispatch": ("dispatch", "Claim tasks and let an executor run each: a process here, or a Job in a cluster."),
    "run-attempt": ("run_attempt", "Carry out one attempt whose claim is in $SHOAL_CLAIM, and report it."),
    "add": ("tasks", "Add a task."),
    "list": ("tasks", "List tasks, newest first."),
    "show": ("tasks", "Show one task, what it waits for, and its history."),
    "search": ("search", "Find tasks by words in their titles, bodies, results and your notes."),
    "edit": ("tasks", "Change fields of a task."),
    "ready": ("ready", "Show what a claim would give, or explain why a task is not among it."),
    "next": ("ready", "Show the next task, or claim it."),
    "claim": ("attempts", "Claim the next tasks of a queue, or one named task."),
    "start": ("attempts", "Say that an attempt begins its work."),
    "progress": ("attempts", "Report how far an attempt is, or show all reports."),
    "beat": ("attempts", "Renew all leases of a worker."),
    "done": ("attempts", "Complete a task."),
    "fail": ("attempts", "End an attempt badly; it is tried again while attempts remain."),
    "release": ("attempts", "Give a task back; the attempt does not count."),
    "logs": ("transcript", "Show what agents said and did for a task, or follow them live."),
    "tell": ("transcript", "Tell whoever works on a task something."),
    "cancel": ("tasks", "Call a task off."),
    "hold": ("tasks", "Keep a task from being claimed, with a reason."),
    "unhold": ("tasks", "Lift a hold."),
    "reopen": ("tasks", "Put a finished task back to work."),
    "review": ("people", "Approve or reject a task in review."),
    "feedback": ("people", "Say how good the work was."),
    "join": ("people", "Take part in a task and hear of its events."),
    "leave": ("people", "Take part no longer."),
    "comment": ("people", "Say something about a task."),
    "body": ("contents", "Show or write the body of a task."),
    "result": ("contents", "Add to the result in a task's file."),
    "share": ("contents", "Set a key of the context that a task's participants share."),
    "context": ("contents", "Show the context that a task's participants share."),
    "note": ("contents", "Write a private note on a task, or show yours."),
    "discover": ("contents", "Tell a task's participants what you found out."),
    "prompt": ("prompts", "Show what an agent would be told about a task, with sizes."),
    "archive": ("contents", "Pack a finished task's files into an archive, or bring them back."),
    "dep": ("dependencies", "What waits for what: add, remove, list, graph."),
    "task": ("main", "All commands about tasks, under one name."),
    "scan": ("scan", "Read a project's files for what is to be done, and keep the backlog in step with them."),
    "vault": ("vault", "The markdown that people read: make it, sync it, import one."),
    "job": ("jobs", "What fires by the clock: make jobs, run them, read their history."),
    "check": ("check", "What looks for what is wrong: run checks, let them run by themselves."),
    "audit": ("audit", "Findings of audits, from outside: submit, list, resolve, reopen."),
    "backlog": ("backlog", "Work items: list, order, consolidate, export, import, push."),
    "item": ("item", "One work item, or several: show, decide, edit, link, run."),
    "triage": ("triage", "Decide about new work items, one key each; or let the rules decide."),
    "queue": ("queues", "Pause, resume and limit queues."),
    "lock": ("locks", "Take, keep and give back named locks; run a command under one."),
    "events": ("events", "Read or follow the log."),
    "watch": ("events", "Read an agent's inbox: events of its tasks, and broadcasts."),
    "broadcast": ("events", "Tell every agent something."),
    "scope": ("scope", "Say what accepted items take: effort, risk, files, sub-tasks, what comes before."),
    "costs": ("costs", "What model calls used and cost."),
    "broker": ("broker", "Short-lived GitHub tokens for tasks: status, registrations, audit, set-up of git."),
    "credential": ("credential", "Answer git as its credential helper: get, store or erase."),
    "gh": ("credential", "Run GitHub's gh with a token of the task."),
    "notify": ("notify", "Send a message to a channel of shoal.toml, or a test."),
    "supervision": ("supervision", "Show what supervision would do to attempts and tasks now."),
    "stats": ("stats", "Counts, ages and throughput."),
    "import": ("transfer", "Import tasks from JSON Lines, CSV or a markdown checklist."),
    "export": ("transfer", "Export tasks as JSON Lines, CSV or a markdown checklist."),
    "backup": ("home", "Make a checked copy of the database."),
    "restore": ("home", "Put a backup in the place of the database."),
    "doctor": ("home", "Check the home, database and server, and explain what is wrong."),
    "reference": ("reference", "Print the reference: commands, routes, settings, events, errors, states."),
    "completion": ("home", "Print the script that completes commands in your shell."),
}
OF_TASK = [
    *(
        "add",
        "list",
        "show",
        "search",
        "edit",
        "ready",
        "next",
        "claim",
        "start",
        "progress",
        "beat",
        "done",
        "fail",
        "release",
        "logs",
        "tell",
    ),
    *("cancel", "hold", "unhold", "reopen", "review", "feedback", "join", "leave", "comment"),
    *("body", "result", "share", "context", "note", "discover", "archive"),
]


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used: `shoal --help` reads none of them."""

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names = names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they are told."""
        return self._names

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now."""
        if cmd_name not in self._names:
            return None
        module = import_module(f"shoal.cli.{COMMANDS[cmd_name][0]}")
        name = cmd_name.replace("-", "_") if cmd_name not in {"list", "next", "import"} else f"{cmd_name}_"
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self._names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest names for one that does not exist."""
        if args and args[0] not in self._names and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self._names, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" See `{ctx.command_path} --help`."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    names=list(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 unexpected, 2 bad input, 3 not found, 4 refused, 5 lease or lock lost, "
    "6 database, 7 server unreachable.",
)
@click.option(
    "--home", type=click.Path(file_okay=False), help="The Shoal home; else $SHOAL_HOME, ./.shoal upwards, or yours."
)
@click.option("--actor", help="Who acts; else $SHOAL_ACTOR, else your user name.")
@click.version_option(shoal.__version__, prog_name="shoal")
@click.pass_context
def cli(ctx: click.Context, home: str | None, actor: str | None) -> None:
    """Keep a fleet of coding agents working from one ledger.

    \b
    shoal add "Fix the login" -p high     add a task
    shoal ready                           what can be claimed now
    shoal work -- ./agent.sh              run a command once per task
    shoal events --follow                 watch what happens

    A task is named by its number (42), T42, its slug or its external key. Every command takes --json, and most -q.
    """
    ctx.obj = {"home": home, "actor": actor}
    ctx.color = colour()


task = LazyGroup(name="task", names=OF_TASK, help=COMMANDS["task"][1])


def main() -> None:
    """Run the command line; errors become a message and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ShoalError as error:
        tell(error)
        code = error.exit_code
    except (BrokenPipeError, SystemExit) as error:
        # Click ends for a reader that is gone, with streams that cannot break in the place of ours.
        if isinstance(error, SystemExit) and not type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):
            raise
        # The reader has seen enough; nothing more can be said to it, not even by the interpreter's own flush.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except OSError as error:
        # What could not be written must not be tried again by the interpreter's own flush.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = f"{error.filename}: " if error.filename else ""
        with contextlib.suppress(OSError):
            tell(ShoalError(f"{where}{error.strerror or error}"))
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
