"""The queries of a vault run as Dataview runs them, and a wrong one is noticed."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import dataview
from tests.dataview import Answer, install, run_queries

NOON_MS = 1_800_014_400_000  # 2027-01-15 12:00 UTC

PAGES = {
    "Tasks/T1.md": """
        ---
        title: "Cut | and ]] paste 🐟"
        status: ready
        priority: 2
        due: 2027-01-14
        labels: [docs, urgent]
        owner: "[[Ada]]"
        ---
        """,
    "Tasks/T2.md": """
        ---
        title: "Say: \\"no\\" # twice"
        status: done
        priority: 10
        due: 2027-01-20T09:30:00Z
        labels: [code]
        owner: "[[People/Bob|Bob | the builder]]"
        Estimated Cost: 3
        ---
        """,
    "Tasks/T3 🐟.md": """
        ---
        title: Third
        status: ready
        priority: 1
        labels: []
        owner: "[[Nobody]]"
        ---
        """,
    "People/Ada.md": "---\nteam: blue\n---\n",
    "People/Bob.md": "---\nteam: red\n---\n",
}


class Vault:
    """A folder of pages, with one page of queries on top."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in PAGES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def ask(self, query: str) -> Answer:
        self.write("Views/View.md", f"# View\n\n```dataview\n{textwrap.dedent(query).strip()}\n```\n")
        (answer,) = run_queries(self.folder, now_ms=NOON_MS)
        assert answer.page == "Views/View.md"
        return answer

    def rows(self, query: str) -> list[list[Any]]:
        answer = self.ask(query)
        assert (answer.ok, answer.error, answer.dropped) == (True, None, [])
        return answer.rows


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def test_table_filters_and_sorts_by_front_matter(vault: Vault) -> None:
    answer = vault.ask("""
        TABLE priority AS "Priority", status
        FROM "Tasks"
        WHERE status = "ready"
        SORT priority DESC
    """)

    assert answer.ok
    assert answer.headers == ["File", "Priority", "status"]
    assert answer.rows == [["Tasks/T1.md", 2, "ready"], ["Tasks/T3 🐟.md", 1, "ready"]]


def test_numbers_sort_as_numbers_and_limit_comes_after(vault: Vault) -> None:
    assert vault.rows('TABLE WITHOUT ID priority FROM "Tasks" SORT priority DESC LIMIT 2') == [[10], [2]]


def test_dates_compare_with_today_and_durations(vault: Vault) -> None:
    assert vault.rows('LIST FROM "Tasks" WHERE due AND due < date(today)') == [["Tasks/T1.md"]]
    assert vault.rows('LIST due FROM "Tasks" WHERE due > date(today) AND due <= date(today) + dur(1 week)') == [
        ["Tasks/T2.md", "2027-01-20T09:30:00Z"]
    ]
    assert vault.rows('LIST WITHOUT ID date(today) - due FROM "Tasks" WHERE due AND due < date(now)') == [["P1D"]]


def test_missing_date_is_before_every_date(vault: Vault) -> None:
    assert vault.rows('LIST FROM "Tasks" WHERE due < date(today)') == [["Tasks/T1.md"], ["Tasks/T3 🐟.md"]]


def test_group_by_counts(vault: Vault) -> None:
    answer = vault.ask("""
        TABLE length(rows) AS Count, sum(rows.priority) AS Sum, rows.file.link AS Pages
        FROM "Tasks"
        GROUP BY status
        SORT length(rows) DESC
    """)

    assert answer.headers == ["status", "Count", "Sum", "Pages"]
    assert answer.rows == [["ready", 2, 3, ["Tasks/T1.md", "Tasks/T3 🐟.md"]], ["done", 1, 10, ["Tasks/T2.md"]]]


def test_lists_are_searched_and_flattened(vault: Vault) -> None:
    assert vault.rows('LIST FROM "Tasks" WHERE contains(labels, "docs")') == [["Tasks/T1.md"]]
    assert vault.rows('LIST FROM "Tasks" WHERE !labels') == [["Tasks/T3 🐟.md"]]
    assert vault.rows('TABLE WITHOUT ID label, length(rows) FROM "Tasks" FLATTEN labels AS label GROUP BY label') == [
        ["code", 1],
        ["docs", 1],
        ["urgent", 1],
    ]


def test_contains_also_finds_part_of_a_label_but_econtains_does_not(vault: Vault) -> None:
    assert vault.rows('LIST FROM "Tasks" WHERE contains(labels, "doc")') == [["Tasks/T1.md"]]
    assert vault.rows('LIST FROM "Tasks" WHERE econtains(labels, "doc")') == []


def test_link_in_a_field_leads_to_its_page(vault: Vault) -> None:
    assert vault.rows('TABLE WITHOUT ID owner, owner.team FROM "Tasks" SORT file.name') == [
        ["People/Ada.md", "blue"],
        ["People/Bob.md", "red"],
        ["Nobody", None],
    ]
    assert vault.rows('LIST FROM "Tasks" WHERE owner = [[Ada]]') == [["Tasks/T1.md"]]
    assert vault.rows("LIST FROM [[People/Ada]]") == [["Tasks/T1.md"]]


def test_titles_keep_their_signs(vault: Vault) -> None:
    assert vault.rows('TABLE title FROM "Tasks" SORT file.path') == [
        ["Tasks/T1.md", "Cut | and ]] paste 🐟"],
        ["Tasks/T2.md", 'Say: "no" # twice'],
        ["Tasks/T3 🐟.md", "Third"],
    ]
    assert vault.rows('LIST FROM "Tasks" WHERE contains(title, "]] paste 🐟")') == [["Tasks/T1.md"]]


def test_link_with_brackets_in_its_text_is_no_link(vault: Vault) -> None:
    vault.write("Links/L.md", '---\ngood: "[[T1|a | b]]"\nbad: "[[T1|a ]] b]]"\n---\n')

    assert vault.rows('TABLE WITHOUT ID good, bad, typeof(good), typeof(bad) FROM "Links"') == [
        ["Tasks/T1.md", "[[T1|a ]] b]]", "link", "string"]
    ]  # fmt: skip


def test_text_that_looks_like_a_date_or_duration_becomes_one(vault: Vault) -> None:
    vault.write("Odd/O.md", "---\na: 2027-01\nb: 5 days\nc: '12'\nd: yes\n---\n")

    assert vault.rows('TABLE WITHOUT ID a, b, c, d FROM "Odd"') == [["2027-01-01", "P5D", "12", "yes"]]


def test_field_in_the_text_joins_the_one_of_the_front_matter(vault: Vault) -> None:
    vault.write(
        "Odd/O.md", '---\nstatus: ready\ntitle: "try [status:: done]"\n---\nSize:: 4\n\n- [ ] x [status:: lost]\n'
    )

    assert vault.rows('TABLE WITHOUT ID status, size FROM "Odd"') == [[["ready", "done"], 4]]


def test_names_with_spaces_are_found_by_their_tidy_form(vault: Vault) -> None:
    assert vault.rows('LIST estimated-cost FROM "Tasks" WHERE estimated-cost') == [["Tasks/T2.md", 3]]


def test_tasks_of_a_page(vault: Vault) -> None:
    vault.write("Notes/N.md", "## Plan\n- [ ] one [due:: 2027-01-14]\n  - [x] two\n- no task\n```\n- [ ] code\n```\n")

    assert vault.rows('TASK FROM "Notes" WHERE !completed') == [["one [due:: 2027-01-14]", " ", "Notes/N.md"]]
    assert vault.rows('TASK FROM "Notes" WHERE due AND due < date(today)') == [
        ["one [due:: 2027-01-14]", " ", "Notes/N.md"]
    ]
    assert vault.rows('TASK FROM "Notes" GROUP BY completed') == [
        [False, [["one [due:: 2027-01-14]", " ", "Notes/N.md"]]],
        [True, [["two", "x", "Notes/N.md"]]],
    ]


def test_tags_and_the_page_itself(vault: Vault) -> None:
    vault.write("Notes/N.md", "---\ntags: [a/b]\n---\nand #c\n")

    assert vault.rows("LIST file.tags FROM #a AND #c") == [["Notes/N.md", ["#a/b", "#a", "#c"]]]
    assert vault.rows("LIST FROM #none OR -#a WHERE file = this.file") == [["Views/View.md"]]


def test_only_blocks_of_dataview_are_run(vault: Vault) -> None:
    vault.write(
        "V.md", "````md\n```dataview\nLIST\n```\n````\n> ```dataview\n> LIST\n> LIMIT 1\n> ```\n```js\nLIST\n```\n"
    )

    (answer,) = run_queries(vault.folder)

    assert (answer.page, answer.query, len(answer.rows)) == ("V.md", "LIST\nLIMIT 1", 1)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ('TABEL status FROM "Tasks"', "TABLE or LIST or TASK or CALENDAR"),
        ('TABLE status FROM Tasks SORT ""', "PARSING FAILED"),
        ('TABLE status FROM "Tasks" WHERE (status = "ready"', "PARSING FAILED"),
        ('TABLE status FROM "Tasks" WHERE lenght(labels) > 1', "Unrecognized function name 'lenght'"),
        ('TABLE lower(priority) FROM "Tasks"', "No implementation of 'lower' found for arguments: number"),
        ('LIST priority - title FROM "Tasks"', "No implementation found for 'number - string'"),
        ('LIST FROM "Tasks" LIMIT "two"', "limit should be a number"),
        ('LIST hash("a", 1) FROM "Tasks"', "these tests do not"),
    ],
)
def test_wrong_query_is_reported(vault: Vault, query: str, error: str) -> None:
    answer = vault.ask(query)

    assert not answer.ok
    assert error in (answer.error or "")
    assert answer.rows == []


def test_row_that_fails_is_named_where_dataview_leaves_it_out(vault: Vault) -> None:
    answer = vault.ask('LIST due - 1 FROM "Tasks" WHERE upper(default(owner.team, 7)) = "BLUE"')

    assert not answer.ok
    answer = vault.ask('LIST FROM "Tasks" WHERE upper(default(owner.team, 7)) = "BLUE"')
    assert (answer.ok, answer.rows) == (True, [["Tasks/T1.md"]])
    assert answer.dropped == ["No implementation of 'upper' found for arguments: number"]


def test_misspelt_field_or_folder_gives_nothing(vault: Vault) -> None:
    assert vault.rows('LIST FROM "Tasks" WHERE statsu = "ready"') == []
    assert vault.rows('LIST FROM "Task"') == []


@pytest.mark.parametrize("text", ["title: a: b", "title: [", "- a\n- b"])
def test_broken_front_matter_is_noticed(vault: Vault, text: str) -> None:
    vault.write("Tasks/T4.md", f"---\n{text}\n---\n")

    with pytest.raises(AssertionError, match=r"Tasks/T4\.md: its front matter"):
        vault.ask("LIST")


def test_processes_that_install_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    install()

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(install, [tmp_path / "modules"] * 4))

    assert folders == {tmp_path / "modules" / "node_modules"}
    assert {path.name for path in folders.pop().iterdir()} == {"obsidian-dataview", "yaml"}


def test_install_skips_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setattr(dataview, "PACKAGES", {"./no-such-package": ""})
    with pytest.raises(pytest.skip.Exception, match=r"cannot be fetched: .*no-such-package"):
        install(tmp_path)

    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match="needs node"):
        install(tmp_path)
