"""What a model finds wrong in files of code, read one by one against a rubric, for no more than a sum of money.

Its look is partial when the money or the number of files did not suffice: then nothing counts as gone. What each call
cost is on the account of the check as soon as it is known. Of more files than it may read it takes the next ones each
day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct

from shoal.adapters.checks.check import Context
from shoal.adapters.git.sources import Sources
from shoal.adapters.llm import scrutineer
from shoal.adapters.llm.model import Model, most_used
from shoal.adapters.screens.secrets import redacted
from shoal.errands.scope_material import PRIVATE_KEY, keeps_secrets
from shoal.errands.scoping import cost_of, reckoned, record
from shoal.errors import BadInput, NotConfigured
from shoal.model.check import Finding
from shoal.model.cost import Purpose, dollars
from shoal.model.path_pattern import fits

NAME = "code-scrutiny"
VERSION = "1"
DAY_MS = 86_400_000
LONGEST = 80_000  # characters of a file
SUFFIXES = frozenset({
    ".c", ".cc", ".cpp", ".cs", ".ex", ".exs", ".go", ".h", ".hpp", ".java", ".js", ".jsx", ".kt", ".lua",
    ".mjs", ".php", ".pl", ".py", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx", ".vue",
    ".zig",
})  # fmt: skip
_FIRST = re.compile(r"^\s*[-*]?\s*([a-z][a-z0-9-]{1,40}):", re.MULTILINE)


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is read, by which rubric, and for how much."""

    paths: Annotated[
        list[str], Meta(max_length=100, description="file patterns of what is read, as `src/**`; all code")
    ] = []
    rubric: Annotated[
        str, Meta(max_length=20_000, description="what counts as wrong, a line each as `word: meaning`; its own")
    ] = ""
    rubric_file: Annotated[str | None, Meta(description="a file of the checkout with the rubric; none")] = None
    model: Annotated[str | None, Meta(description="what reads, as `openai:gpt-5-mini`; that of `[backlog]`")] = None
    max_usd: Annotated[float, Meta(gt=0, le=1000, description="what one look may cost; 1")] = 1.0
    max_files: Annotated[int, Meta(ge=1, le=10_000, description="how many files one look reads; 20")] = 20


def run(context: Context) -> Iterator[Finding]:
    """Read files, and say what is wrong with them.

    Raises NotConfigured without a model and where no list has its price.
    """
    options: Options = context.options
    sources = Sources(context.checkout)
    rubric = _rubric(options, sources)
    settings = context.settings.backlog
    paths = _wanted(options, sources)
    chosen = _turn(paths, options.max_files, context.now_ms // DAY_MS)
    spent, limit, unread = 0, round(options.max_usd * 1_000_000), len(paths) - len(chosen)
    unpriced = 0
    with Model(options.model or settings.model, base_url=settings.base_url) as model:
        for number, path in enumerate(chosen):
            text = sources.text(path)
            if text is None or PRIVATE_KEY in text or len(text) > LONGEST:
                context.warn(f"{path}: not read: binary, too long, or a key")
                continue
            text = redacted(text, path)
            asked = scrutineer.question(path, text)
            longest = most_used(model.name, scrutineer.SYSTEM + rubric, asked)
            most = cost_of(longest)
            if most is None:
                raise NotConfigured(f"no list price of {model.name} is known, so max_usd cannot be kept; name another")
            if spent + most > limit:
                unread += len(chosen) - number
                break
            reply = scrutineer.scrutinise(model, rubric, path, text)
            spent += reckoned(reply.calls, longest) or 0
            unpriced += sum(cost_of([one]) is None for one in reply.calls)
            record(context.ledger, reply.calls, purpose=Purpose.CHECK, check=NAME, project=context.project)
            if reply.stopped:
                raise KeyboardInterrupt
            if reply.value is None:
                if reply.is_hopeless and reply.error is not None:
                    raise reply.error
                context.warn(f"{path}: {reply.error}")
                unread += 1
                continue
            yield from (_finding(path, one) for one in reply.value.flaws)
    told = f", {unpriced} without a price, reckoned at the most that may have been" if unpriced else ""
    context.warn(f"{dollars(spent)} USD{told}")
    if unread:
        context.partial(
            f"{unread} of {len(paths)} files were not read this time: raise max_usd or max_files, or name fewer `paths`"
        )


def _rubric(options: Options, sources: Sources) -> str:
    if options.rubric_file is None:
        return options.rubric or scrutineer.RUBRIC
    text = sources.text(options.rubric_file)
    if text is None:
        raise BadInput(
            f"there is no {options.rubric_file} in the checkout; write one, or say `rubric`", field="rubric_file"
        )
    if not _FIRST.search(text):
        raise BadInput(f"{options.rubric_file} has no line as `wrong: what it means`", field="rubric_file")
    return redacted(text, options.rubric_file)[:20_000]


def _wanted(options: Options, sources: Sources) -> list[str]:
    found = []
    for path in sorted(sources.files):
        named = fits(path, options.paths) if options.paths else PurePosixPath(path).suffix in SUFFIXES
        if named and not keeps_secrets(path):
            found.append(path)
    return found


def _turn(paths: list[str], most: int, day: int) -> list[str]:
    """Those whose turn it is on a day: one row of `most` after the other."""
    if len(paths) <= most:
        return paths
    first = day * most % len(paths)
    return sorted((paths + paths)[first : first + most])


def _finding(path: str, flaw: scrutineer.Flaw) -> Finding:
    """The same flaw in other words is the same finding: its rule and the name that it is about say which."""
    return Finding(
        rule=flaw.rule,
        message=flaw.message,
        severity=flaw.severity,
        file=path,
        line=flaw.line,
        key=" ".join(flaw.symbol.split())[:100] or f"line {flaw.line}",
    )
