"""Search: what is found, by whom, in which order; and that both databases agree with a few lines of Python."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import Ledger
from shoal.errors import BadInput
from shoal.ledger.embedded import EmbeddedEngine
from shoal.model.search import Document, DocumentKind, Term
from shoal.services import search

TITLE, BODY, RESULT, NOTE = DocumentKind.TITLE, DocumentKind.BODY, DocumentKind.RESULT, DocumentKind.NOTE
ON_ONE_LEDGER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CORPUS = {
    1: "Fix the login page of the Café",
    2: "foo-bar, a.b and foo_baz; see https://example.com/reset?id=42",
    3: "mail ana@example.com about version 1e5 and 3.14",
    4: "東京都の天気 and 한국어 and Straße",
    5: "page of the login: fix it, ﬁx it",
    6: "NAÏVE résumé Ångström ½ x² ＡＢＣ soft\u00adhyphen",
    7: "हिन्दी ภาษาไทย emoji 🎉 done",
}


def engine_of(ledger: Ledger) -> EmbeddedEngine:
    engine = ledger.engine
    assert isinstance(engine, EmbeddedEngine)
    return engine


def put(ledger: Ledger, *documents: Document) -> None:
    engine_of(ledger).write(lambda tx: search.put(tx, list(documents)))


def fill(ledger: Ledger, texts: dict[int, str], kind: DocumentKind = BODY) -> None:
    ledger.tasks.create_many(tasks=[{"title": f"number {task}"} for task in texts])
    put(ledger, *(Document(task=task, kind=kind, text=text) for task, text in texts.items()))


def found(ledger: Ledger, text: str, **given: object) -> set[int]:
    return {hit.id for hit in ledger.tasks.search(text=text, **given)}


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("login", {1, 5}),
        ("LOGIN fix", {1, 5}),
        ('"login page"', {1}),
        ("“login page”", {1}),
        ('"login page', {1}),
        ("login -cafe", {5}),
        ('login -"page of"', set()),
        ("café", {1}),
        ("cafe\u0301", {1}),
        ("caf*", {1}),
        ('"the log*"', {1, 5}),
        ("af*", set()),
        ("fix*", {1, 5}),
        ("foo-bar", {2}),
        ("bar-foo", set()),
        ("foo_baz", {2}),
        ("baz", {2}),
        ("a.b", {2}),
        ("b.a", set()),
        ("https://example.com/reset", {2}),
        ("example.com", {2, 3}),
        ("id=42", {2}),
        ("ana@example.com", {3}),
        ("1e5", {3}),
        ("1e*", {3}),
        ("3.14", {3}),
        ("東京", {4}),
        ("京東", set()),
        ("天気", {4}),
        ("한국어", {4}),
        ("한국*", {4}),
        ("strasse", {4}),
        ("STRASSE", {4}),
        ("naive RESUME angstrom", {6}),
        ("abc 1 x2", {6}),
        ("softhyphen", {6}),
        ("हिन्दी", {7}),
        ("ไทย", {7}),
        ("done 🎉", {7}),
        ("and -foo -mail", {4}),
        ("AND OR NOT", set()),
        ("login; DROP TABLE tasks --", set()),
        ("it", {5}),
        ("title", set()),
        ("#body login", set()),
        ("number", set()),
    ],
)
def test_what_a_query_finds(ledger: Ledger, text: str, tasks: set[int]) -> None:
    fill(ledger, CORPUS)
    assert found(ledger, text) == tasks


@pytest.mark.parametrize("text", ["", " ", "-login", '-"a b" -c', "*", '""', "?!", "🎉", "_", "-", "\x00", '"'])
def test_nothing_to_look_for_is_bad_input(ledger: Ledger, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        ledger.tasks.search(text=text)
    assert caught.value.field == "text"


def test_too_much_to_look_for_is_bad_input(ledger: Ledger) -> None:
    with pytest.raises(BadInput):
        ledger.tasks.search(text="a" * 501)
    with pytest.raises(BadInput, match="33 terms"):
        ledger.tasks.search(text=" ".join(f"w{number}" for number in range(33)))
    assert ledger.tasks.search(text="-".join("a" * 250)) == []


@ON_ONE_LEDGER
@given(text=st.one_of(st.text(max_size=60), st.text(alphabet="a*-\"' ():^&|!\\#<>:+~{}[].,\x00", max_size=30)))
def test_no_text_breaks_a_query(ledger: Ledger, text: str) -> None:
    with contextlib.suppress(BadInput):
        ledger.tasks.search(text=text)


@ON_ONE_LEDGER
@given(text=st.text(max_size=200))
def test_no_text_breaks_the_index_and_each_is_found_by_itself(ledger: Ledger, text: str) -> None:
    if not ledger.tasks.list():
        ledger.tasks.create(title="x")
    put(ledger, Document(task=1, kind=BODY, text=text))
    words = search.words_of(text)
    assert search.words_of(" ".join(words)) == words
    if words:
        assert found(ledger, f'"{" ".join(words[:8])}"') == {1}
        assert found(ledger, f"{words[0]}*") == {1}


def holds(words: list[str], term: Term) -> bool:
    size = len(term.words)
    for start in range(len(words) - size + 1):
        *before, last = words[start : start + size]
        if tuple(before) == term.words[:-1] and (
            last.startswith(term.words[-1]) if term.prefix else last == term.words[-1]
        ):
            return True
    return False


@ON_ONE_LEDGER
@given(
    texts=st.lists(st.text(alphabet="abé -_", min_size=1, max_size=25), min_size=4, max_size=4),
    query=st.text(alphabet='ab *"-', min_size=1, max_size=14),
)
def test_databases_find_what_python_would(ledger: Ledger, texts: list[str], query: str) -> None:
    if not ledger.tasks.list():
        ledger.tasks.create_many(tasks=[{"title": "x"}] * 4)
    put(ledger, *(Document(task=task, kind=BODY, text=text) for task, text in enumerate(texts, start=1)))
    terms = search.parse(query)
    expected = {
        task
        for task, text in enumerate(texts, start=1)
        if all(holds(search.words_of(text), term) != term.without for term in terms)
    }
    if all(term.without for term in terms):
        with pytest.raises(BadInput):
            found(ledger, query)
    else:
        assert found(ledger, query) == expected


def test_query_is_read_as_terms() -> None:
    assert search.parse('Login "Reset Link" -mob* foo-bar a a "in pha*"') == [
        Term(("login",)),
        Term(("reset", "link")),
        Term(("mob",), prefix=True, without=True),
        Term(("foo", "bar")),
        Term(("a",)),
        Term(("in", "pha"), prefix=True),
    ]


def test_hit_tells_of_its_task_and_where_the_words_are(ledger: Ledger) -> None:
    fill(ledger, {1: "about the login"})
    ledger.tasks.claim(worker="w")
    [hit] = ledger.tasks.search(text="login")
    assert (hit.id, hit.task_id, hit.title, hit.status, hit.kind, hit.agent) == (
        *(1, "T1", "number 1"),
        *("active", "body", None),
    )


def test_titles_come_first_then_what_speaks_of_it_most_then_the_newest(ledger: Ledger) -> None:
    other = "other words that make a text of some length "
    fill(ledger, {1: other * 3 + "login", 2: f"login login {other} login", 3: other * 3 + "login", 4: other})
    put(ledger, Document(task=4, kind=TITLE, text=f"login {other}"))
    put(ledger, Document(task=2, kind=TITLE, text="nothing"))
    assert [(hit.id, hit.kind) for hit in ledger.tasks.search(text="login")] == [
        (4, "title"),
        (2, "body"),
        (3, "body"),
        (1, "body"),
    ]


def test_task_comes_once_and_limit_counts_tasks(ledger: Ledger) -> None:
    fill(ledger, dict.fromkeys(range(1, 6), "login"))
    for kind in (TITLE, RESULT, DocumentKind.CONTEXT):
        put(ledger, *(Document(task=task, kind=kind, text="login") for task in range(1, 6)))
    assert [hit.id for hit in ledger.tasks.search(text="login")] == [5, 4, 3, 2, 1]
    assert len(found(ledger, "login", limit=3)) == 3
    assert {hit.kind for hit in ledger.tasks.search(text="login", kind="result")} == {RESULT}


def test_note_is_found_by_its_agent_alone(ledger: Ledger) -> None:
    fill(ledger, {1: "public", 2: "public"})
    put(
        ledger,
        Document(task=1, kind=NOTE, agent="ana", text="mine"),
        Document(task=1, kind=NOTE, agent="bo", text="secret public"),
    )
    assert [(hit.id, hit.kind, hit.agent) for hit in ledger.tasks.search(text="mine")] == [(1, "note", "ana")]
    assert found(ledger, "secret") == found(ledger, "secr*") == found(ledger, "secret", kind="note") == set()
    assert found(ledger, "public -secret") == {1, 2}
    assert found(ledger.acting_as("bo"), "secret") == {1}
    assert found(ledger.acting_as("bo"), "mine") == set()


def test_notes_of_others_change_no_order(ledger: Ledger) -> None:
    fill(ledger, {task: "alpha " * (task % 5) + "beta " * (task % 3) + "end" for task in range(1, 30)})
    before = [ledger.tasks.search(text=text) for text in ("alpha beta", "beta", "end -alpha")]
    put(ledger, *(Document(task=task, kind=NOTE, agent="bo", text="alpha " * task) for task in range(1, 30)))
    assert [ledger.tasks.search(text=text) for text in ("alpha beta", "beta", "end -alpha")] == before


def test_changed_text_takes_the_place_of_the_old_and_blank_removes_it(ledger: Ledger) -> None:
    fill(ledger, {1: "old words", 2: "other"})
    put(ledger, Document(task=1, kind=BODY, text="never seen"), Document(task=1, kind=BODY, text="new words"))
    assert (found(ledger, "old"), found(ledger, "never"), found(ledger, "new words")) == (set(), set(), {1})
    put(ledger, Document(task=1, kind=BODY, text=" \n"))
    assert found(ledger, "new") == set()
    put(ledger, Document(task=1, kind=BODY, text="back"))
    assert found(ledger, "back") == {1}


def test_unchanged_text_writes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ledger, CORPUS)
    monkeypatch.setattr(search, "words_of", None)  # to make words again would fail
    put(ledger, *(Document(task=task, kind=BODY, text=text) for task, text in CORPUS.items()))


def test_texts_of_a_task_are_replaced_whole(ledger: Ledger) -> None:
    ledger.tasks.create(title="a")
    put(ledger, Document(task=1, kind=BODY, text="old"), Document(task=1, kind=NOTE, agent="ana", text="secret"))
    new = [Document(task=1, kind=BODY, text="new")]
    for anew in (False, True):
        engine_of(ledger).write(lambda tx, anew=anew: search.replace(tx, tasks=[1], documents=new, anew=anew))
        assert ledger.tasks.search(text="old") == []
        assert ledger.tasks.search(text="secret") == []
        assert [hit.id for hit in ledger.tasks.search(text="new")] == [1]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 3_000_000,
        "\U00010400" * 400_000,
        " ".join(f"{number:011}".translate({48 + d: 0x10400 + d for d in range(10)}) for number in range(30_000)),
        "word " * 100_000,
        "\ufdfa" * 100_000,
        "東" * 100_000,
        "nul \x00 and \ud800 surrogate",
        "'quote' :1 \\ \\' & | ! <->",
    ],
    ids=["long word", "wide word", "many wide words", "one word", "expands", "unspaced", "not text", "operators"],
)
def test_text_of_any_shape_can_be_indexed(ledger: Ledger, text: str) -> None:
    fill(ledger, {1: text})
    assert found(ledger, search.words_of(text)[0]) == {1}


def test_copy_of_the_database_holds_the_index(ledger: Ledger, open_at: Callable[..., Ledger], tmp_path: Path) -> None:
    database = engine_of(ledger).database
    if database.kind != "sqlite":
        pytest.skip("pg_dump copies PostgreSQL")
    fill(ledger, CORPUS)
    put(ledger, Document(task=1, kind=BODY, text="replaced"))
    database.backup(str(tmp_path / "copy.db"))
    from shoal import connect

    with connect(str(tmp_path / "copy.db")) as copy:
        assert found(copy, "replaced") == {1}
        assert found(copy, "login") == {5}


def test_frequent_word_is_found_quickly(ledger: Ledger) -> None:
    fill(ledger, {task: f"always number{task} " + "filler " * 20 for task in range(1, 3001)})
    durations = []
    for _ in range(5):
        begun = time.perf_counter()
        assert len(found(ledger, "always filler")) == 20
        durations.append(time.perf_counter() - begun)
    assert min(durations) < 0.05
    assert found(ledger, "number7") == {7}
