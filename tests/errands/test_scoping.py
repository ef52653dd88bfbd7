"""Scoping with a scripted model: what it is shown, what is made of its answer, when it is not asked, where it stops."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal import Ledger
from shoal.adapters.llm.model import Model
from shoal.errands.scope_form import blank, read
from shoal.errands.scope_material import gather, keeps_secrets, words_of
from shoal.errands.scoping import Batch, Scoped, Scoping, cost_of, run
from shoal.errors import BadInput, NotConfigured, Refused
from shoal.ledger.connect import open_ledger
from shoal.model.assessment import Suggestion
from shoal.model.item import Item
from shoal.settings import BacklogSettings, Home, ProjectSettings, Settings
from tests.agents.messages_api import Answer, MessagesApi, Tokens, Tool
from tests.conftest import wait_until

MODEL = "anthropic:claude-haiku-4-5"
KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
TOKEN = "ghp_" + "q8Zx9QpL7vBk2Wm4Tn6Rs1Yd3Fg5Hj0LcVbN"
PASSWORD = "Xk29" + "vLq8ZtRw"
FILES = {
    "TODO.md": "# Login\n\n- [ ] Mend `week_key` for ostrich\n",
    "src/login.py": "import week\n\n\ndef log_in(user):\n    return week.week_key(user)\n",
    "src/week.py": f'AWS = "{KEY}"\n\n\ndef week_key(user):\n    return 1\n',
    "src/paint.py": "def paint():\n    return 'red'\n",
    "src/ignored.py": "def week_key_ignored(): week_key\n",
    ".env": "week_key=1\n",
    "deploy.pem": "week_key\n",
    "Deploy/PROD.ENV": "week_key\n",
    ".envrc": "export week_key=1\n",
    "home/.aws/credentials": "week_key\n",
    "config.yaml": f"week_key: 1\npassword: {PASSWORD}\n",
    ".gitignore": "ignored.py\n",
}
GOOD: dict[str, Any] = {
    "title": "Mend the key of the week", "summary": "It is always one.", "effort": "small", "risk": "low",
    "files_involved": ["./src/week.py:4", "src/paint.py", "src/gone.py", "/etc/passwd", "../outside.py"],
    "sub_tasks": ["Write a test", "Mend it"], "dependencies": ["W2", "Feed the birds"], "overlaps": [],
    "confidence": "medium",
}  # fmt: skip


def says(value: Any, *, model: str | None = None) -> Answer:
    return Answer(tools=(Tool("final_result", value),), tokens=Tokens(1000, 100), model=model)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesApi]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "anything")
    with MessagesApi() as api:
        yield api


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "outside.py").write_text("week_key\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q", "."], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return root


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db"), settings=Settings(), actor="ana", create=True) as ledger:
        ledger.items.create(
            text="Mend `week_key` for ostrich", project="web", source_file="TODO.md", source_line=3, heading=["Login"],
            accepted=True,
        )  # fmt: skip
        ledger.items.create(text="Rewrite the login", project="web")
        yield ledger


@pytest.fixture
def scoping(ledger: Ledger, checkout: Path, api: MessagesApi, tmp_path: Path) -> Scoping:
    return make(ledger, tmp_path, api)


def make(ledger: Ledger, folder: Path, api: MessagesApi, **given: Any) -> Scoping:
    settings = Settings(
        projects={"web": ProjectSettings(path="web")},
        backlog=BacklogSettings(model=MODEL, base_url=api.url, **given),
    )
    return Scoping(ledger, Home(folder), settings)


def spent(ledger: Ledger) -> list[tuple[str | None, str, int | None]]:
    found = [(one.item_id, one.purpose.value, one.cost_usd_micros) for one in ledger.costs.list()]
    return sorted(found, key=lambda one: -(one[2] or 0))


def scope(
    scoping: Scoping, ledger: Ledger, *, force: bool = False, limit: int | None = None
) -> tuple[Batch, list[Scoped]]:
    items = [ledger.items.get(1)]
    batch = Batch(total=1, limit_usd_micros=limit)
    return batch, list(run(scoping, items, batch, force=force))


def test_answer_is_checked_against_the_checkout_and_kept(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", says(GOOD))
    _, [came] = scope(scoping, ledger)
    assert came.outcome == "assessed"
    item = ledger.items.get(1)
    assert (item.status, item.title, item.effort, item.confidence) == (
        *("assessed", "Mend the key of the week", "small", "medium"),
    )
    assert [(one.path, one.validated) for one in item.files] == [("src/paint.py", False), ("src/week.py", True)]
    [kept] = ledger.items.assessments(1)
    assert kept.answer is not None
    assert kept.answer.missing_files == ["src/gone.py", "etc/passwd"]
    assert item.blocked_by == ["W2"]
    assert [one.how for one in kept.answer.dependencies] == ["by number", "no such item"]
    assert (kept.model, kept.prompt_version, kept.input_tokens, kept.output_tokens) == (MODEL, 1, 1000, 100)
    assert kept.cost_usd_micros == came.cost_usd_micros == 1500
    assert spent(ledger) == [("W1", "scope", 1500)]
    assert kept.input_hash == item.input_hash


def test_prompt_has_the_code_and_none_of_what_must_not_leave(scoping: Scoping, ledger: Ledger) -> None:
    prepared = scoping.prepare(ledger.items.get(1))
    prompt = prepared.material.prompt
    assert "def week_key(user):" in prompt
    assert "return week.week_key(user)" in prompt
    assert "W2: Rewrite the login" in prompt
    assert "below the headings Login" in prompt
    assert KEY not in prompt
    assert "[secret: an AWS access key]" in prompt
    shown = {"TODO.md", "src/week.py", "src/login.py", "config.yaml"}
    assert {one.path for one in prepared.material.excerpts} == shown
    assert "week_key: 1" in prompt
    assert PASSWORD not in prompt
    assert "    4  def week_key" in prompt


def test_names_of_other_items_are_sent_without_their_secrets(scoping: Scoping, ledger: Ledger) -> None:
    ledger.items.create(text=f"Rotate the token {TOKEN} of CI", project="web")
    prompt = scoping.prepare(ledger.items.get(1)).material.prompt
    assert "W3: Rotate the token [secret: a GitHub token] of CI" in prompt
    assert TOKEN not in prompt


def test_text_of_an_item_is_read_by_the_rules_of_its_file(scoping: Scoping, ledger: Ledger) -> None:
    item = ledger.items.create(text=f"Change it\npassword: {PASSWORD}", project="web", source_file="config.yaml")
    assert PASSWORD not in scoping.prepare(item).material.prompt


@pytest.mark.parametrize(
    "path",
    [".env", "a/.env.local", "prod.env", ".ENVRC", "a/.npmrc", ".netrc", ".pgpass", ".git-credentials", "a/x.tfvars",
     "ssh/id_ed25519", "ID_RSA", "x.PEM", "tls/x.key", "home/.aws/credentials"],
)  # fmt: skip
def test_files_in_which_people_keep_secrets(path: str) -> None:
    assert keeps_secrets(path)


@pytest.mark.parametrize("path", ["src/env.py", "environment.md", "src/keys.py", "docs/id_rsa_and_more/a.md"])
def test_files_that_are_only_called_alike(path: str) -> None:
    assert not keeps_secrets(path)


def test_same_input_gives_the_same_prompt_and_no_second_call(
    scoping: Scoping, ledger: Ledger, api: MessagesApi
) -> None:
    api.script("ostrich", says(GOOD), says(GOOD | {"effort": "large"}))
    first = scoping.prepare(ledger.items.get(1)).material
    assert scoping.prepare(ledger.items.get(1)).material == first
    scope(scoping, ledger)
    _, [came] = scope(scoping, ledger)
    assert (came.outcome, len(api.served("ostrich"))) == ("unchanged", 1)
    _, [came] = scope(scoping, ledger, force=True)
    assert (came.outcome, ledger.items.get(1).effort) == ("assessed", "large")


def test_new_commit_or_other_words_are_another_input(
    scoping: Scoping, ledger: Ledger, api: MessagesApi, checkout: Path, tmp_path: Path
) -> None:
    before = scoping.prepare(ledger.items.get(1)).input_hash
    ledger.items.update(1, text="Mend `week_key` for the ostrich")
    words = scoping.prepare(ledger.items.get(1)).input_hash
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "y"]
    subprocess.run(git, cwd=checkout, check=True)
    commit = make(ledger, tmp_path, api).prepare(ledger.items.get(1)).input_hash
    assert len({before, words, commit}) == 3


def test_context_stays_within_its_tokens(ledger: Ledger, checkout: Path, api: MessagesApi, tmp_path: Path) -> None:
    (checkout / "src/week.py").write_text("def week_key():\n" + "    more = 1\n" * 3000)
    for tokens in (200, 2000):
        material = make(ledger, tmp_path, api, context_tokens=tokens).prepare(ledger.items.get(1)).material
        assert len(material.prompt) <= 4 * tokens + 100


def test_failed_answer_is_recorded_with_its_cost_and_asked_for_again(
    scoping: Scoping, ledger: Ledger, api: MessagesApi
) -> None:
    api.script("ostrich", *[says({"title": "x"})] * 3, says(GOOD))
    _, [came] = scope(scoping, ledger)
    assert came.outcome == "failed"
    [kept] = ledger.items.assessments(1)
    assert kept.error is not None
    assert (kept.cost_usd_micros, kept.answer, ledger.items.get(1).status) == (4500, None, "triaged")
    assert spent(ledger) == [("W1", "scope", 1500)] * 3
    _, [came] = scope(scoping, ledger)
    assert came.outcome == "assessed"


def test_limit_stops_before_the_call_that_could_pass_it(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    most = scoping.prepare(ledger.items.get(1)).most_usd_micros
    assert most is not None
    batch, done = scope(scoping, ledger, limit=most - 1)
    assert (done, ledger.items.assessments(1)) == ([], [])
    assert batch.stopped is not None
    assert "could pass the limit" in batch.stopped
    api.script("ostrich", says(GOOD))
    batch, [came] = scope(scoping, ledger, limit=most)
    assert came.cost_usd_micros is not None
    assert 0 < came.cost_usd_micros == batch.spent_usd_micros <= most


def test_ledger_that_is_gone_ends_the_batch_and_the_cost_is_told(
    ledger: Ledger, checkout: Path, api: MessagesApi, tmp_path: Path
) -> None:
    api.script("ostrich", says(GOOD))
    items = [ledger.items.get(1), ledger.items.get(2)]
    gone = open_ledger(str(tmp_path / "ledger.db"), settings=Settings(), actor="bo", create=False)
    scoping = make(gone, tmp_path, api)
    scoping.prepare(items[0])
    batch = Batch(total=2, limit_usd_micros=None)
    [came] = list(run(scoping, items, batch, force=False, tell=lambda batch, item: gone.close()))
    assert (came.outcome, came.cost_usd_micros, batch.spent_usd_micros) == ("failed", 1500, 1500)
    assert batch.stopped is not None
    assert "what W1 cost is on no account" in batch.stopped


def more_items(ledger: Ledger, count: int) -> list[Item]:
    """As many accepted items as that, each with a word of its own."""
    made = [
        ledger.items.create(text=f"Paint it, penguin{number}!", project="web", accepted=True) for number in range(count)
    ]
    return [ledger.items.get(one.id) for one in made]


def test_limit_holds_for_all_calls_of_a_batch_together(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    items = more_items(ledger, 4)
    api.script("penguin", *[says(GOOD)] * 9)
    # Each may cost the most of one, and costs 1500; so the third could pass it.
    most = max(scoping.prepare(one).most_usd_micros or 0 for one in items)
    batch = Batch(total=4, limit_usd_micros=most + 2999)
    came = list(run(scoping, items, batch, force=False))
    assert [one.cost_usd_micros for one in came] == [1500] * 2
    assert batch.stopped is not None
    assert "could pass the limit" in batch.stopped


@pytest.mark.parametrize(
    ("answer", "seconds"), [(says(GOOD, model="bedrock/claude-9"), 20), (Answer(text="x", hangs=True), 0.5)]
)
def test_call_without_a_price_counts_as_the_most_that_it_may_have_cost(
    ledger: Ledger, checkout: Path, api: MessagesApi, tmp_path: Path, answer: Answer, seconds: float
) -> None:
    scoping = make(ledger, tmp_path, api)
    scoping.model = lambda: Model(MODEL, base_url=api.url, timeout_seconds=seconds)  # type: ignore[method-assign]
    items = more_items(ledger, 6)
    api.script("penguin", *[answer] * 99)
    prepared = scoping.prepare(items[0])
    first = cost_of(prepared.most[:1])
    assert first is not None
    assert prepared.most_usd_micros is not None
    batch = Batch(total=6, limit_usd_micros=prepared.most_usd_micros + first + 2000)
    came = list(run(scoping, items, batch, force=False))
    assert len(came) == 2
    assert [(one.cost_usd_micros, one.reckoned_usd_micros) for one in came] == [(None, first)] * 2
    assert batch.stopped is not None
    assert batch.limit_usd_micros is not None
    assert batch.spent_usd_micros <= batch.limit_usd_micros
    assert {price for _, _, price in spent(ledger)} == {None}


def test_calls_with_a_price_stay_what_they_cost_beside_one_without(
    scoping: Scoping, ledger: Ledger, api: MessagesApi
) -> None:
    api.script("ostrich", says({"title": "x"}), says(GOOD, model="bedrock/claude-9"))
    prepared = scoping.prepare(ledger.items.get(1))
    _, [came] = scope(scoping, ledger)
    assert (came.cost_usd_micros, came.reckoned_usd_micros) == (None, 1500 + (cost_of(prepared.most[1:2]) or 0))


def test_ctrl_c_keeps_what_the_item_under_way_cost(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", says({"title": "x"}), Answer(text="x", wait_seconds=60))

    def press() -> None:
        wait_until(lambda: len(api.served("ostrich")) == 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    batch = Batch(total=1, limit_usd_micros=None)
    with pytest.raises(KeyboardInterrupt):
        list(run(scoping, [ledger.items.get(1)], batch, force=False))
    pressing.join()
    assert [(one.outcome, one.error) for one in batch.done] == [("failed", "you stopped it")]
    [kept] = ledger.items.assessments(1)
    assert (kept.error, kept.cost_usd_micros, kept.input_tokens) == ("you stopped it", None, 1000)
    assert spent(ledger) == [("W1", "scope", 1500), ("W1", "scope", None)]


def test_key_that_is_refused_ends_the_batch(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", Answer(status=401))
    other = ledger.items.create(text="Paint it, ostrich", project="web", accepted=True)
    batch = Batch(total=2, limit_usd_micros=None)
    came = list(run(scoping, [ledger.items.get(1), ledger.items.get(other.id)], batch, force=False))
    assert [one.outcome for one in came] == ["failed"]
    assert batch.stopped is not None
    assert "refuses the key" in batch.stopped


def test_without_a_key_nothing_is_asked_and_nothing_recorded(
    scoping: Scoping, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(NotConfigured, match="set ANTHROPIC_API_KEY"):
        scope(Scoping(ledger, Home(tmp_path), Settings()), ledger)
    assert ledger.items.assessments(1) == []


def test_item_that_was_rejected_meanwhile_costs_and_fails(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", says(GOOD))
    item = ledger.items.get(1)
    ledger.items.reject(1)
    batch = Batch(total=1, limit_usd_micros=None)
    [came] = list(run(scoping, [item], batch, force=False))
    assert (came.outcome, came.cost_usd_micros, batch.spent_usd_micros) == ("failed", 1500, 1500)
    assert spent(ledger) == [("W1", "scope", 1500)]
    with pytest.raises(Refused):
        scoping.require_accepted([ledger.items.get(2)])


def test_waiting_are_those_accepted_and_not_assessed(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    ledger.items.create(text="new one", project="web", accepted=True)
    ledger.items.create(text="elsewhere", project="other", accepted=True)
    ids = [one.id for one in scoping.waiting("web", oldest_first=False, limit=None)]
    assert (ids, [one.id for one in scoping.waiting("web", oldest_first=True, limit=1)]) == ([3, 1], [1])
    ledger.items.assess(1, effort="small")
    assert [one.id for one in scoping.waiting(None, oldest_first=False, limit=9)] == [4, 3]


def test_person_says_it_in_any_of_three_languages(scoping: Scoping, ledger: Ledger) -> None:
    fields = {"effort": "small", "files_involved": ["src/week.py", "no.py"], "sub_tasks": ["a"]}
    toml = 'effort = "small"\nfiles_involved = ["src/week.py", "no.py"]\nsub_tasks = ["a"]\n'
    forms = [
        read(json.dumps(fields), "a.json"), read(toml, "a.toml"),
        read("effort: small\nfiles_involved: [src/week.py, no.py]\nsub_tasks: [a]\n", "a.yaml"),
    ]  # fmt: skip
    assert forms[0] == forms[1] == forms[2]
    came = scoping.by_hand(ledger.items.get(1), forms[0])
    assert (came.item.status, came.assessment.model, came.assessment.actor) == ("assessed", None, "ana")
    assert came.assessment.answer is not None
    assert came.assessment.answer.missing_files == ["no.py"]
    assert [(one.path, one.validated) for one in came.item.files] == [("src/week.py", True)]


def test_form_is_read_as_it_is_given_out(ledger: Ledger) -> None:
    ledger.items.update(1, title='A "quoted" \\ title', summary="two\nlines")
    form = read(blank(ledger.items.get(1)), "form.toml")
    assert form == Suggestion(title='A "quoted" \\ title', summary="two\nlines", confidence=form.confidence)


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("effort: tiny", "a.yaml", "effort"),
        ("colour: red", "a.yaml", "colour"),
        ("a: [", "a.yaml", "cannot be read"),
        ("effort = ", "a.toml", "cannot be read"),
        ("[1]", "a.json", "must have fields"),
        ("sub_tasks: [" + "a, " * 21 + "]", "-", "sub_tasks"),
    ],
)
def test_wrong_form_is_refused_with_its_field(text: str, name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read(text, name)


def test_words_are_identifiers_first(ledger: Ledger) -> None:
    item = ledger.items.create(text="Let `HttpClient.get` and parse_url() in src/net/http.py survive timeouts")
    words = words_of(item)
    assert words.identifiers == ["HttpClient", "parse_url"] or set(words.identifiers) >= {"HttpClient", "parse_url"}
    assert words.paths[0] in {"HttpClient.get", "src/net/http.py"}
    assert "timeouts" in words.plain
    assert gather(item, None, [], tokens=100).excerpts == []


def test_title_that_the_ledger_would_refuse_is_asked_for_again(
    scoping: Scoping, ledger: Ledger, api: MessagesApi
) -> None:
    api.script("ostrich", says(GOOD | {"title": "Do \x1b[31mit"}), says(GOOD))
    _, [came] = scope(scoping, ledger)
    assert (came.outcome, came.cost_usd_micros, ledger.items.get(1).title) == ("assessed", 3000, GOOD["title"])
    assert "$.title" in json.dumps(api.served("ostrich")[1].body["messages"][-1])


def test_what_no_database_keeps_is_left_out_of_an_answer(scoping: Scoping, ledger: Ledger, api: MessagesApi) -> None:
    api.script("ostrich", says(GOOD | {"title": "Do \ud800it\x00", "summary": "\udfffWhy"}))
    _, [came] = scope(scoping, ledger)
    assert (came.outcome, came.error) == ("assessed", None)
    assert (ledger.items.get(1).title, ledger.items.get(1).summary) == ("Do it", "Why")
    assert len(ledger.items.assessments(1)) == 1
