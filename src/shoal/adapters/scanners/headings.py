"""What a heading says of what stands under it: work, done, questions, decisions, or something to know.

In doubt it is something to know: a backlog with lines in it that nobody would call work is read by nobody.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache


class Sense(Enum):
    """What stands under a heading."""

    WORK = auto()
    DONE = auto()
    DECLINED = auto()
    QUESTIONS = auto()
    DECISIONS = auto()
    KNOWLEDGE = auto()
    OPEN = auto()  # it does not say


_NUMBERED = re.compile(r"^(?:[\W_]*(?:\d+(?:\.\d+)*|[ivx]+)[.):]\s+|[\W_]+)", re.IGNORECASE)
_WORK = re.compile(
    r"(?:(?:the|our|my|current|open|remaining|future|immediate|short[- ]term|long[- ]term|other|main|known) )*"
    r"(?:to[- ]?dos?(?: list)?|backlog|tasks?(?: list)?|work items?|work|next(?: steps?| up)?|up next|action items?"
    r"|follow[- ]?ups?|remaining|roadmap|planned|upcoming|in progress|doing|bugs|issues|problems|fixes|wish ?list"
    r"|items|tech(?:nical)? debt|later|soon|now|blocked|must[- ]haves?|nice[- ]to[- ]haves?)"
    r"(?=\s*$|\s*[:(\[,/–—-]|\s+(?:for|in|of|before|after|list|items?|work|tasks?)\b)"
)
# One word says too little unless it is under one that says more.
_WEAK = re.compile(
    r"(?:work(?! items?)|next(?! steps?| up)|issues|problems|fixes|items|later|soon|now|blocked|planned|upcoming|doing"
    r"|must[- ]haves?|nice[- ]to[- ]haves?|the work)\b"
)
_WORK_AT_END = re.compile(r"\b(?:to-?dos?(?: list)?|backlog|roadmap|action items|next steps|follow-ups)\s*$")
_DONE = re.compile(r"(?:recently |already )?(?:done|completed?|finished|shipped|archived?|closed|resolved|fixed)\b")
_DECLINED = re.compile(r"(?:won'?t (?:do|fix)|wontfix|rejected|declined|not doing|cancell?ed|abandoned|dropped)\b")
_QUESTIONS = re.compile(
    r"(?:(?:open|unresolved|outstanding|remaining) )?questions?(?: for .*)?$|open questions\b"
    r"|(?:to be |to |un)decided?$|(?:open|pending) decisions$|decisions? (?:needed|pending|to make|required)$"
)
_DECISIONS = re.compile(r"(?:(?:key|design|made|past|taken|main|architectural) )*decisions(?: (?:log|made|taken))?$")
_KNOWLEDGE = re.compile(
    r"(?:for (?:agents?|humans|contributors|developers)|about|notes?|how|what|why|when|where|who|usage|legend"
    r"|conventions?|rules|context|background|references?|links|resources|see also|(?:table of )?contents|toc|format"
    r"|guidelines?|principles?|rationale|motivation|goals?|non-goals|out of scope|overview|summary|history|changelog"
    r"|files?|key files|options?|alternatives|review|glossary|credits|acknowledgements|thanks|licen[cs]e|instructions"
    r"|workflow|process|status|introduction|purpose|scope|criteria|acceptance criteria|definition of done|architecture"
    r"|design|examples?|requirements|prerequisites|installation|setup|metrics|risks?|assumptions|dependencies|appendix"
    r"|template|people|contacts?|meeting|agenda|timeline|inspiration|lessons|learnings|tips|faq)\b"
)
VERBS = frozenset(
    [
        "add",
        "adjust",
        "adopt",
        "allow",
        "audit",
        "automate",
        "avoid",
        "benchmark",
        "build",
        "bump",
        "cache",
        "change",
        "check",
        "clarify",
        "clean",
        "cleanup",
        "collect",
        "consolidate",
        "convert",
        "correct",
        "cover",
        "create",
        "cut",
        "debug",
        "decouple",
        "delete",
        "deploy",
        "deprecate",
        "detect",
        "disable",
        "document",
        "drop",
        "enable",
        "enforce",
        "ensure",
        "evaluate",
        "expand",
        "explore",
        "export",
        "expose",
        "extend",
        "extract",
        "factor",
        "finish",
        "fix",
        "generate",
        "handle",
        "harden",
        "hide",
        "implement",
        "improve",
        "integrate",
        "introduce",
        "investigate",
        "limit",
        "log",
        "make",
        "measure",
        "merge",
        "migrate",
        "mock",
        "modernise",
        "modernize",
        "monitor",
        "move",
        "normalise",
        "normalize",
        "optimise",
        "optimize",
        "package",
        "parallelise",
        "parallelize",
        "parse",
        "patch",
        "persist",
        "polish",
        "port",
        "prevent",
        "profile",
        "prototype",
        "provide",
        "publish",
        "reduce",
        "refactor",
        "reject",
        "release",
        "remove",
        "rename",
        "reorder",
        "reorganise",
        "reorganize",
        "replace",
        "rescue",
        "research",
        "resolve",
        "restore",
        "restrict",
        "restructure",
        "retire",
        "retry",
        "revert",
        "review",
        "revisit",
        "rework",
        "rewrite",
        "sanitise",
        "sanitize",
        "schedule",
        "secure",
        "send",
        "separate",
        "set",
        "ship",
        "show",
        "simplify",
        "skip",
        "speed",
        "split",
        "stabilise",
        "stabilize",
        "standardise",
        "standardize",
        "stop",
        "store",
        "streamline",
        "strip",
        "support",
        "switch",
        "sync",
        "tell",
        "test",
        "tidy",
        "track",
        "trim",
        "unify",
        "update",
        "upgrade",
        "use",
        "validate",
        "verify",
        "wire",
        "wrap",
        "write",
    ]
)


@lru_cache(maxsize=4096)
def sense(title: str) -> Sense:
    """What stands under a heading, as far as it says so itself."""
    plain = _plain(title)
    for pattern, meaning in (
        (_QUESTIONS, Sense.QUESTIONS),
        (_DECISIONS, Sense.DECISIONS),
        (_DONE, Sense.DONE),
        (_DECLINED, Sense.DECLINED),
        (_WORK, Sense.WORK),
        (_KNOWLEDGE, Sense.KNOWLEDGE),
    ):
        if pattern.match(plain):
            return meaning
    return Sense.WORK if len(plain) <= 60 and _WORK_AT_END.search(plain) else Sense.OPEN


def is_weak(title: str) -> bool:
    """Whether a heading that says work may mean something else where nothing above it says so too."""
    return _WEAK.match(_plain(title)) is not None


def is_order(title: str) -> bool:
    """Whether it tells somebody to do something: "Fix the login"."""
    first = re.split(r"[\s/:,-]", _plain(title), maxsplit=1)[0]
    return first in VERBS


def _plain(title: str) -> str:
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("’", "'").strip()
    return _NUMBERED.sub("", plain).strip().lower()
