"""Secrets and paths: what is found, what is not, and that nothing found is ever shown."""

from __future__ import annotations

import hashlib
import random
import string
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from shoal.adapters.screens import paths
from shoal.adapters.screens.hit import Hit, shown
from shoal.adapters.screens.secrets import (
    ASSIGNED,
    DRAWN,
    PASSWORD_IN_URL,
    UNQUOTED,
    entropy,
    redacted,
    scan,
)

ROOT = Path(__file__).parents[2]
LETTERS, DIGITS = string.ascii_letters, string.digits
BASE62, BASE36, HEX = LETTERS + DIGITS, string.ascii_lowercase + DIGITS, "0123456789abcdef"


def drawn(chance: random.Random, alphabet: str, size: int) -> str:
    return "".join(chance.choices(alphabet, k=size))


# Put together here, so that no file holds what looks like a secret.
def known(chance: random.Random) -> dict[str, list[str]]:
    def one(alphabet: str, size: int) -> str:
        return drawn(chance, alphabet, size)

    upper = string.ascii_uppercase + "234567"
    return {
        "an AWS access key": ["AK" + "IA" + one(upper, 16), "AS" + "IA" + one(upper, 16)],
        "an AWS secret key": ["aws_secret_" + 'access_key = "' + one(BASE62 + "/+", 40) + '"'],
        "a GitHub token": ["gh" + f"{kind}_" + one(BASE62, 36) for kind in "pousr"]
        + ["github" + "_pat_" + one(BASE62, 22) + "_" + one(BASE62, 59)],
        "a GitLab token": ["glp" + "at-" + one(BASE62, 20)],
        "a Slack token": ["xo" + f"xb-{one(DIGITS, 12)}-{one(DIGITS, 12)}-{one(BASE62, 24)}"],
        "a Slack webhook": [
            f"https://hooks.sl{'ack'}.com/services/T{one(upper, 8)}/B{one(upper, 8)}/{one(BASE62, 24)}"
        ],
        "a Discord webhook": [f"https://disc{'ord'}.com/api/webhooks/{one(DIGITS, 18)}/{one(BASE62, 68)}"],
        "a Telegram token": [one(DIGITS[1:], 10) + ":A" + "A" + one(BASE62, 33)],
        "a Google key": ["AI" + "za" + one(BASE62, 35)],
        "a Stripe key": ["sk" + "_live_" + one(BASE62, 24)],
        "an Anthropic key": ["sk-" + "ant-api03-" + one(BASE62 + "-_", 93) + "AA"],
        "an OpenAI key": ["sk-" + "proj-" + one(BASE62, 80)],
        "an npm token": ["np" + "m_" + one(BASE62, 36)],
        "a SendGrid key": ["S" + f"G.{one(BASE62, 22)}.{one(BASE62, 43)}"],
        "a Hugging Face token": ["h" + "f_" + one(LETTERS, 34)],
        "a HashiCorp Vault token": ["hv" + "s." + one(BASE62, 30)],
        "a JSON web token": [f"ey{'J'}{one(BASE62, 30)}.ey{'J'}{one(BASE62, 60)}.{one(BASE62 + '-_', 43)}"],
        "a private key": [f"-----BEGIN {kind}PRIV" + "ATE KEY-----" for kind in ("", "RSA ", "EC ", "OPENSSH ")]
        + ["-----BEGIN PGP PRIV" + "ATE KEY BLOCK-----"],
        PASSWORD_IN_URL: ["postgresql://shoal:" + one(BASE62, 12) + "@db.acme.io/shoal"],
    }


def found(text: str, path: str = "src/app.py") -> list[str]:
    return [f"{one.line}: {one.kind}" for one in scan(path, enumerate(text.split("\n"), start=1))]


@pytest.mark.parametrize("around", ["{}", "key = '{}'", "  - {}", 'call("{}", 7);', "# see {} there", "A={}\n"])
def test_known_formats_are_found_wherever_they_stand(around: str) -> None:
    chance = random.Random(7)
    for _ in range(20):
        for kind, samples in known(chance).items():
            for sample in samples:
                if "example" not in sample.lower():
                    assert any(kind in one for one in found(around.format(sample))), (kind, sample)


def test_secret_itself_is_never_told() -> None:
    chance = random.Random(8)
    for samples in known(chance).values():
        for sample in samples:
            for one in scan(f"src/{sample}.py", [(1, sample)]):
                assert sample[6:] not in one.kind


@pytest.mark.parametrize(
    "line",
    [
        'pass{}word = "hunter2!"',
        "PASS{}WORD: str = 'c0rrect-Horse!'",
        '"pass{}word": "Tr0ub4dor&3",',
        'config["db_pass{}word"] = "aX7-kk2_p"',
        'pass{}wd => "s0me/thing=odd",',
        'api_{}key := "k3y9f02kd0s9x1"',
        'client_sec{}ret="8f3kd02ks9d7f6g5h4"',
        "const accessTok{}en = `q8w7e6r5t4y3u2i1`",
        'headers = {{"Authorization": "Bea{}rer dGhpc0lzTm90QVRva2VuQjV0R29vZDQy"}}',
    ],
)
def test_password_in_an_assignment_is_found(line: str) -> None:
    assert found("a = 1\n" + line.format("")) == [f"2: {ASSIGNED}"]


@pytest.mark.parametrize("behind", [".example", "-test", "_xxxx", ".sample", "...", "_todo"])
def test_harmless_word_behind_a_token_does_not_make_it_harmless(behind: str) -> None:
    chance = random.Random(12)
    for token in ("gh" + "p_" + drawn(chance, BASE62, 36), "glp" + "at-" + drawn(chance, BASE62, 20)):
        assert found(token + behind), behind
    assert found("gh" + "p_" + "x" * 36) == []


def test_password_of_several_words_is_one() -> None:
    assert found("pass" + "word = 'correct-horse-battery'") == [f"1: {ASSIGNED}"]
    for line in ("{}word_class = 'form-control-lg'", "{}word = 'new-password-hint'", "{}word = 'one-time'"):
        assert found(line.format("pass")) == []


def test_strong_password_counts_for_any_host_but_ones_own() -> None:
    for host, hits in [("ci.test", 1), ("db.local", 1), ("test/x", 1), ("localhost", 0), ("127.0.0.1", 0)]:
        assert len(found("https://bot:" + f"q8Zx9QpL7vB@{host}")) == hits, host
    assert found("https://bot:" + "hunter2@ci.test") == []


def test_long_lines_are_looked_through_to_their_end() -> None:
    filler = '{"text": "and on it went"}, ' * 2000
    line = filler + '"pass' + 'word": "Tr0ub4dor&3", ' + filler + "https://bot:" + "q8Zx9QpL7vB@acme.io, " + filler
    assert sorted(found(line, "a.json")) == sorted([f"1: {ASSIGNED}", f"1: {PASSWORD_IN_URL}"])
    assert "Tr0ub4dor" not in redacted(line)


BEGIN, END = "-----BEGIN RSA PRIV" + "ATE KEY-----", "-----END RSA PRIV" + "ATE KEY-----"
BODY = [drawn(random.Random(13), BASE62 + "+/", 64) for _ in range(20)] + ["IBAAKC=="]


@pytest.mark.parametrize(
    ("before", "between", "after"),
    [
        ("", "\n", ""),
        ("  ", "\r\n  ", "\n"),
        ('{"text": "', "\\n", '\\n"}'),
        ('{"text": "', "\\\\r\\\\n", '"}'),
        ("+", "\n+", ""),
        ("     1→", "\n     2→", ""),
        ('key = "', '\\n"\n    "', '"'),
        ("", "\n\n", ""),
    ],
)
def test_whole_key_goes_and_what_is_around_it_stays(before: str, between: str, after: str) -> None:
    for lines in ([BEGIN, *BODY, END], [BEGIN, "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,00", *BODY, END]):
        text = f"one\n{before}{between.join(lines)}{after}\ntwo\nthree"
        assert redacted(text) == f"one\n{before}[secret: a private key]{after}\ntwo\nthree"
        torn = f"{before}{between.join(lines[:-2])}{after}\ntwo words\nthree"
        assert redacted(torn).endswith("two words\nthree")
        assert not any(line in redacted(torn) for line in BODY)


def test_mention_of_a_key_takes_no_other_line_with_it() -> None:
    lines = [f"line {number} of the work" for number in range(100)]
    lines[10] = f"grep -rn -- '{BEGIN}' . | wc -l"
    lines[40] = f"found: {BEGIN}"
    lines[90] = f"found: {END}"
    kept = redacted("\n".join(lines)).split("\n")
    assert len(kept) == len(lines)
    assert [one for one in kept if one not in lines] == [
        "grep -rn -- '[secret: a private key]' . | wc -l",
        "found: [secret: a private key]",
    ]


@pytest.mark.parametrize("path", [".env", "deploy/.env.production", "a.yaml", "b.properties", "x.tfvars", "Dockerfile"])
def test_settings_need_no_quotes(path: str) -> None:
    text = "db_pass" + "word=k39fj2kd92\napi_to" + "ken: 83jf92kdl20f9d\nPATH=/usr/bin\nTOKEN=${TOKEN}\n"
    assert found(text, path) == [f"1: {UNQUOTED}", f"2: {UNQUOTED}"]
    assert found(text, "notes.md") == []


@pytest.mark.parametrize("path", [".env", "deploy/prod.env", ".envrc", "a.yaml"])
def test_settings_are_redacted_by_the_rule_for_settings(path: str) -> None:
    text = "pass" + "word: Xk29vLq8ZtRw\n"
    assert redacted(text, path) == f"password: [secret: {UNQUOTED}]\n"
    assert redacted(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "export BILLING_PASS{}WORD=Xk29vLq8ZtRw",
        "SEC{}RET_KEY_BASE=0a1b9c3d7e0a1b9c3d7e0a1b9c3d7e0a1b9c3d7e",
        "docker run -e DB_PASS{}WORD=Xk29vLq8ZtRw web",
        "mysql --pass{}word Xk29vLq8ZtRw -h db",
        "mysql --db-pass{}word='Xk29vLq8ZtRw'",
        "`cu{}rl -sS -u ana:Xk29vLq8ZtRw https://acme.io`",
        "cu{}rl --user=ana:Xk29vLq8ZtRw https://acme.io",
    ],
)
def test_password_as_a_shell_is_told_is_found_in_any_file(line: str) -> None:
    assert found(line.format(""), "notes.md") == [f"1: {ASSIGNED}"]
    assert "Xk29vLq8ZtRw" not in redacted(line.format(""))


def test_strings_drawn_by_lot_are_found() -> None:
    chance = random.Random(9)
    for alphabet, size, share in [(BASE62, 40, 0.95), (BASE62, 24, 0.8), (BASE62 + "+/", 44, 0.95), (BASE36, 40, 0.9)]:
        samples = [drawn(chance, alphabet, size) for _ in range(1000)]
        hits = sum(found(f'x = "{sample}"') == [f"1: {DRAWN}"] for sample in samples)
        assert hits >= share * len(samples), (size, hits)


HARMLESS = """
password = os.environ["DB_PASSWORD"]
password = getpass("Password: ")
password: str | None = None
PASSWORD_FIELD = "password_confirm"
token = settings.token_source.issue()
token = "${GITHUB_TOKEN}"
api_key = "<your api key>"
secret = "changeme"
password = "xxxxxxxx"
"access_token": "access_token",
token_url = "https://auth.acme.io/oauth/token"
secret_name = "shoal-database-credentials"
TOKEN_PATTERN = r"[A-Z0-9]{16}"
postgresql://user:password@host/db
postgresql://shoal:shoal4711@localhost/db
https://acme.io:8080/@me
resolved "https://packages.acme.io/left-pad/-/left-pad-1.3.0.tgz#5b8a3a7765dfe001261dde915589e782f8c94d1e"
integrity sha512-XI5MPzVNApjAyhQzphX8BkmKsKUxD4LdyK24iZeQGinBN9yTQT3bFlCBy/aVx2HrNcqQGsdot8ghrjyrvMCoEA==
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ3kP0L8uT5xkq1m2ZtW8v9sD7fQ4rY6nB3cX5aE2hK ana@pond
test_that_a_very_long_name_of_a_test_with_2_numbers_42_is_no_secret
GetSlowCompensationTauForChannel2AndChannel3
/usr/share/doc/libreoffice2/Examples/Macros/ModuleNumber12/Basic
AKIAIOSFODNN7EXAMPLE
key = "pk_" + name
docker run --user 1000:1000 web; curl -u "$USER:$PASSWORD" https://acme.io; curl -u user:password https://acme.io
TOKEN=$(gh auth token) PASSWORD=${PASSWORD:-none} SECRET_NAME=shoal-database make
shoal --token-variable CLICKUP_TOKEN --password-file /run/secrets/db --token TOKEN --secret-name web-keys
"""


def test_what_only_looks_like_a_secret_is_left_alone() -> None:
    assert found(HARMLESS) == []
    assert found(HARMLESS, "settings.yaml") == []


def test_hashes_and_identifiers_are_left_alone() -> None:
    chance = random.Random(10)
    words = [word for word in (ROOT / "README.md").read_text().replace("`", " ").split() if word.isalpha()]
    for _ in range(2000):
        text = drawn(chance, BASE62, 20)
        name = "".join(word.title() for word in chance.choices(words, k=5)) + str(chance.randrange(100))
        for sample in (
            hashlib.sha256(text.encode()).hexdigest(),
            hashlib.sha1(text.encode()).hexdigest(),
            str(uuid.UUID(int=chance.getrandbits(128))),
            "_".join(chance.choices(words, k=5)).lower(),
        ):
            assert found(f'x = "{sample}"') == [], sample
        assert found(f"{name[0].lower()}{name[1:]} = 7") == [], name


def test_few_false_alarms_over_this_repository() -> None:
    """What remains are passwords that tests make up, and that stand in plain sight."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines, alarms = 0, []
    for name in listed.stdout.splitlines():
        try:
            text = (ROOT / name).read_text(encoding="utf-8").split("\n")
        except (UnicodeDecodeError, OSError):
            continue
        lines += len(text)
        alarms += [one for one in scan(name, enumerate(text, start=1)) if not name.endswith(Path(__file__).name)]
    assert [str(one) for one in alarms if not one.path.startswith("tests/")] == []
    assert len(alarms) <= lines / 5_000


@pytest.mark.parametrize("comment", ["# shoal: allow-secret", "// shoal:allow-secret", "# pragma: allowlist secret"])
def test_comment_allows_its_line_and_no_other(comment: str) -> None:
    line = "pass" + 'word = "hunter2!"'
    first, second = scan("a.py", [(3, f"{line}  {comment}"), (4, line)])
    assert (first.allowed, second.allowed) == (True, False)


def test_what_has_a_kind_of_its_own_is_told_once() -> None:
    token = "gh" + "p_" + drawn(random.Random(11), BASE62, 36)
    assert found(f'token = "{token}"') == ["1: a GitHub token"]
    assert found(f'a = "{token}"; b = "{token}"') == ["1: a GitHub token"]


@pytest.mark.parametrize(
    "text",
    [
        "gh" + "p_a" * 100_000,
        "ey" + "J" * 300_000,
        "password=" * 50_000,
        "://a:" * 60_000,
        "a1B" * 100_000,
        "\n" * 300_000,
        "aws-secret-key" * 70_000,
        "--password " * 30_000,
        "curl -u a:" * 30_000,
        "PASSWORD=a" * 30_000,
        BEGIN * 10_000,
        f"{BEGIN}\n" + "A\n" * 100_000,
    ],
    ids=[
        "one token",
        "one letter",
        "words",
        "addresses",
        "data",
        "empty lines",
        "names",
        "options",
        "curl",
        "variables",
        "keys",
        "a long key",
    ],
)
def test_no_text_takes_long(text: str) -> None:
    for whole in (text, text.replace("=", "=\n"), text.replace("a", "a ")):
        before = time.process_time()
        scan("x.env", enumerate(whole.split("\n"), start=1))
        redacted(whole)
        assert time.process_time() - before < 5


def test_entropy_is_bits_per_character() -> None:
    assert (entropy(""), entropy("aaaa"), entropy("abab"), entropy("abcdefgh")) == (0, 0, 1, 3)


def test_finding_shows_its_place_and_breaks_no_page() -> None:
    assert str(Hit("src/a.py", 3, DRAWN)) == "src/a.py:3: a random string"
    assert str(Hit("src/a.py", 0, "x")) == "src/a.py: x"
    assert shown("a`b\n<!--\u202e@ana") == "a?b??!--??ana"
    assert len(shown("x" * 5000)) == 201


def test_forbidden_goes_before_allowed() -> None:
    changed = ["src/a.py", "src/secret/b.py", "setup.py", "src/a.py"]
    findings = paths.scan(changed, allowed=["src/**"], forbidden=["**/secret/"])
    assert [str(one) for one in findings] == [
        f"src/secret/b.py: {paths.FORBIDDEN}",
        f"setup.py: {paths.NOT_ALLOWED}",
    ]
    assert paths.scan(changed, allowed=["**"], forbidden=[]) == []
