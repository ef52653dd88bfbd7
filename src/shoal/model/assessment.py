"""What is said when somebody or a model assesses a work item, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from shoal.model.cost import Usage
from shoal.model.fields import NO_NUL, Name, Text, Title
from shoal.model.item import Confidence, Effort, ItemDetail, Path, Risk

MOST_SUB_TASKS = 20
LONGEST_LINE = 500
MOST_FILES = 100

SubTask = Annotated[str, Meta(min_length=1, max_length=LONGEST_LINE, pattern=NO_NUL, description="One step, in words.")]
Mention = Annotated[
    str,
    Meta(min_length=1, max_length=LONGEST_LINE, pattern=NO_NUL, description="Another item: W3, or its title in words."),
]
Mentions = Annotated[list[Mention], Meta(max_length=50)]
InputHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])", description="SHA-256 of what was looked at.")]


class AssessedFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is there; `validated` when it says something of the item."""

    path: Path
    validated: bool = False


class Scope(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an item takes; what is left out is not known."""

    title: Title | None = None
    summary: Text | None = None
    effort: Effort = Effort.UNKNOWN
    risk: Risk = Risk.UNKNOWN
    sub_tasks: Annotated[
        list[SubTask],
        Meta(max_length=MOST_SUB_TASKS, description="The steps in order; none when it is a single step."),
    ] = []
    confidence: Confidence | None = None


class Suggestion(Scope, frozen=True, kw_only=True):
    """What a person or a model says of an item, before anybody looked whether its files and items are there."""

    files_involved: Annotated[
        list[Annotated[str, Meta(max_length=1000)]],
        Meta(max_length=MOST_FILES, description="Paths of the files that must change."),
    ] = []
    dependencies: Annotated[Mentions, Meta(description="Other items that must be done before.")] = []
    overlaps: Annotated[Mentions, Meta(description="Other items that want the same, or touch the same code.")] = []


class NewAssessment(Scope, frozen=True, kw_only=True):
    """What an item takes; or, with `error`, why that could not be had.

    `files` are there, as the caller has looked; `missing_files` were named and are not, and are kept in the answer
    alone. `dependencies` and `overlaps` name other items in words. `calls` are all that it took, failed ones too.
    """

    files: Annotated[list[AssessedFile], Meta(max_length=MOST_FILES)] = []
    missing_files: Annotated[list[Path], Meta(max_length=MOST_FILES)] = []
    dependencies: Mentions = []
    overlaps: Mentions = []
    model: Annotated[Name | None, Meta(description="What answered; left out: a person.")] = None
    prompt_version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    input_hash: InputHash | None = None
    calls: Annotated[list[Usage], Meta(max_length=100)] = []
    error: Annotated[str, Meta(min_length=1, max_length=2000, pattern=NO_NUL)] | None = None


class Matched(Struct, frozen=True, kw_only=True):
    """What became of words that name another item. `item` is null when no open item of the project is called so."""

    text: str
    item: str | None
    how: Literal["by number", "same title", "near title", "no such item", "itself", "would make a circle"]
    likeness_percent: int | None = None


class Answer(Scope, frozen=True, kw_only=True):
    """What is kept of an assessment: what was said, and what its words meant when it was said."""

    files: list[AssessedFile] = []
    missing_files: list[Path] = []
    dependencies: list[Matched] = []
    overlaps: list[Matched] = []


class Assessment(Struct, frozen=True, kw_only=True):
    """What somebody or a model said that an item takes; or why that could not be had.

    Money and tokens are added up from the model calls on the item's account; the money is null when one of them has no
    price, and all of them are without any call.
    """

    item: int
    version: int
    at: int
    actor: str
    model: str | None
    prompt_version: int | None
    input_hash: str | None
    cost_usd_micros: int | None
    input_tokens: int | None
    output_tokens: int | None
    answer: Answer | None
    error: str | None


class Assessed(Struct, frozen=True, kw_only=True):
    """An item after it was assessed, and what is kept of that; `dependencies` and `overlaps` with what they meant."""

    item: ItemDetail
    assessment: Assessment
    dependencies: list[Matched]
    overlaps: list[Matched]


read_answer = msgspec.json.Decoder(Answer).decode


def assessment_from_row(row: tuple[Any, ...]) -> Assessment:
    """An assessment from its row."""
    given = dict(zip(Assessment.__struct_fields__, row, strict=True))
    answer = given["answer"]
    return Assessment(**given | {"answer": None if answer is None else read_answer(answer)})
