"""The constrained types that inputs are made of: lengths, ranges, patterns. No rules about tasks here.

PostgreSQL stores no NUL character, so no text may hold one on either database.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

# The end is written (?![\s\S]): "$" would let a last newline through, and "\Z" is unknown outside Python.
NO_NUL = r"^[^\x00]*(?![\s\S])"
ONE_LINE = r"^(?=.*\S)[^\x00-\x1f\x7f]*(?![\s\S])"
TIME_LIMIT = 253_402_300_799_999  # the last millisecond of the year 9999
INTEGER_LIMIT = 2**53 - 1  # what every JSON reader holds exactly

Title = Annotated[str, Meta(min_length=1, max_length=500, pattern=ONE_LINE, description="One line of text.")]
Name = Annotated[
    str,
    Meta(min_length=1, max_length=200, pattern=ONE_LINE, description="A short name on one line."),
]
Slug = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"^[^\x00-\x20\x7f/?#]*[^\x00-\x20\x7f/?#0-9][^\x00-\x20\x7f/?#]*(?![\s\S])",
        description="A name for people and old links: no spaces or slashes, not only digits.",
    ),
]
Text = Annotated[str, Meta(max_length=20_000, pattern=NO_NUL, description="Free text.")]
Markdown = Annotated[
    str, Meta(max_length=1_000_000, pattern=NO_NUL, description="Markdown, which the vault keeps and not the ledger.")
]
Moment = Annotated[int, Meta(ge=0, le=TIME_LIMIT, description="Milliseconds since 1970-01-01 00:00 UTC.")]
Count = Annotated[int, Meta(ge=0, le=INTEGER_LIMIT)]
Positive = Annotated[int, Meta(ge=1, le=INTEGER_LIMIT)]
Limit = Annotated[int, Meta(ge=1, le=1000, description="How many at most.")]
Percent = Annotated[int, Meta(ge=0, le=100)]
Score = Annotated[int, Meta(ge=1, le=5, description="1 (poor) to 5 (excellent).")]
Seconds = Annotated[int, Meta(ge=1, le=31_536_000, description="Seconds, up to a year.")]
Delay = Annotated[int, Meta(ge=0, le=31_536_000, description="Seconds from now, up to a year.")]
Minutes = Annotated[int, Meta(ge=0, le=5_256_000, description="Minutes, up to ten years.")]
TaskRef = Annotated[
    str | int,
    Meta(description="A task: its number (42), T42, its slug or its external key."),
]
PriorityInput = (
    Annotated[int, Meta(ge=0, le=3)]
    | Literal["P0", "P1", "P2", "P3", "p0", "p1", "p2", "p3"]
    | Literal["urgent", "critical", "high", "medium", "normal", "low"]
)
