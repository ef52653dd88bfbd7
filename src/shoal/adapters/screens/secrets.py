"""Secrets in lines of code: known formats, passwords and keys in assignments, and strings that look drawn by lot.

It says where and of which kind, never the secret itself. Not for what has been encoded, split or encrypted to hide it.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from msgspec import Struct

from shoal.adapters.screens.hit import Hit

ALLOWING = re.compile(r"shoal:\s*allow-secret|gitleaks:allow|pragma:\s*allowlist[ -]secret", re.IGNORECASE)
KEY_BEGINS, KEY_ENDS = "-----BEGIN ", "-----END "
KEY_BYTES = 16_384  # a private key has fewer
FOUND_IN_A_LINE = 50
ASSIGNED, UNQUOTED, DRAWN = "a password or key in an assignment", "a password or key in a setting", "a random string"
PASSWORD_IN_URL = "a password in a URL"  # noqa: S105


class Format(Struct, frozen=True):
    """A known format. Its pattern begins with one of its needles, and is only tried where one stands: that is fast.

    `core` is how many characters surely are of it: a harmless word behind these does not make it harmless.
    """

    kind: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    core: int


def _format(kind: str, pattern: str, *needles: str, core: int = 300) -> Format:
    return Format(kind, needles, re.compile(pattern), core)


FORMATS = (
    _format("a private key", r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----", "-----BEGIN "),
    _format("a private key of PuTTY", r"PuTTY-User-Key-File-[23]:[^\r\n\\]{0,40}", "PuTTY-User-Key-File"),
    _format("a private key of age", r"AGE-SECRET-KEY-1[0-9A-Z]{58}", "AGE-SECRET-KEY-1"),
    _format(
        "an AWS access key",
        r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Z0-9])",
        "AKIA",
        "ASIA",
        "ABIA",
        "ACCA",
    ),
    _format(
        "an AWS secret key",
        r"(?i:aws)(?=[\w.-]{0,30}(?i:secret|key))[\w.-]{3,66}+[\"']?\s{0,5}[:=]{1,2}>?\s{0,5}[\"']?"
        r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
        "aws",
        "AWS",
        "Aws",
    ),
    _format(
        "a GitHub token",
        r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9][A-Za-z0-9_.-]{35,300}",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        core=40,
    ),
    _format("a GitHub token", r"github_pat_[A-Za-z0-9_]{60,300}", "github_pat_", core=71),
    _format(
        "a GitLab token",
        r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{20,300}",
        "glpat-",
        "gldt-",
        "glrt-",
        "glcbt-",
        "glptt-",
        "glft-",
        "glsoat-",
        "glagent-",
        core=26,
    ),
    _format("a Slack token", r"(?<![A-Za-z0-9])xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,300}", "xox", core=24),
    _format("a Slack token", r"(?<![A-Za-z0-9])xapp-\d-[A-Z0-9]{5,300}-\d+-[A-Za-z0-9]{20,300}", "xapp-", core=30),
    _format(
        "a Slack webhook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9]{5,300}/[A-Za-z0-9]{5,300}/[A-Za-z0-9]{16,300}",
        "hooks.slack.com/",
        core=60,
    ),
    _format(
        "a Discord webhook",
        r"discord(?:app)?\.com/api/webhooks/\d{15,300}/[\w-]{50,300}",
        "discord.com/api/",
        "discordapp.com/api/",
        core=80,
    ),
    _format("a Telegram token", r"(?<=\d{8}):AA[\w-]{33}(?![\w-])", ":AA"),
    _format("a Google key", r"(?<![\w-])AIza[\w-]{35}(?![\w-])", "AIza"),
    _format("a Google client secret", r"GOCSPX-[\w-]{28}", "GOCSPX-"),
    _format("a Google token", r"(?<![\w-])ya29\.[\w-]{40,300}", "ya29.", core=45),
    _format(
        "a Stripe key",
        r"(?<![A-Za-z0-9])(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,300}",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        core=24,
    ),
    _format("an Anthropic key", r"sk-ant-[a-z]{2,10}\d\d-[\w-]{40,300}", "sk-ant-", core=52),
    _format(
        "an OpenAI key",
        r"(?<![A-Za-z0-9])sk-(?:(?:proj|svcacct|admin)-[\w-]{40,300}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})",
        "sk-",
        core=48,
    ),
    _format("a Hugging Face token", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{34,300}", "hf_", core=37),
    _format("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}", "npm_"),
    _format("a PyPI token", r"pypi-AgE[\w-]{50,300}", "pypi-AgE", core=58),
    _format("a SendGrid key", r"(?<![\w])SG\.[\w-]{20,24}\.[\w-]{39,50}", "SG."),
    _format("a Twilio key", r"(?<![A-Za-z0-9])SK[0-9a-f]{32}(?![0-9a-f])", "SK"),
    _format("a DigitalOcean token", r"do[opr]_v1_[a-f0-9]{64}", "doo_v1_", "dop_v1_", "dor_v1_"),
    _format("a Databricks token", r"(?<![A-Za-z0-9])dapi[a-f0-9]{32}", "dapi"),
    _format("a Shopify token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", "shpat_", "shpca_", "shppa_", "shpss_"),
    _format("a HashiCorp Vault token", r"(?<![A-Za-z0-9])hv[sbr]\.[\w-]{24,300}", "hvs.", "hvb.", "hvr.", core=28),
    _format("a Linear key", r"lin_api_[A-Za-z0-9]{40}", "lin_api_"),
    _format("an Azure storage key", r"AccountKey=[A-Za-z0-9+/]{86}==", "AccountKey="),
    _format("a JSON web token", r"(?<![\w-])eyJ[\w-]{10,300}\.eyJ[\w-]{10,300}\.[\w-]{20,300}", "eyJ", core=60),
)

_WORDS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "api-key", "apikey", "access_key",
    "access-key", "accesskey", "private_key", "private-key", "privatekey", "auth_key", "authkey", "credential",
    "encryption_key", "signing_key", "client_key", "master_key",
)  # fmt: skip
_UPPER = tuple(word.upper() for word in _WORDS if "-" not in word)
# The word with what follows it in the same name, an operator, and a value in quotes or, in files of settings, without.
_NAME = (
    rf"(?P<word>{'|'.join(_WORDS)})(?P<more>[\w.-]{{0,40}})(?:\\?[\"'])?\]?\s{{0,20}}"
    r"(?::\s{0,5}[\w.\[\]| ]{1,40}=|:=|=>|={1,3}|:)\s{0,20}"
)
_QUOTED = re.compile(
    rf"{_NAME}[bru]{{0,2}}\\?(?P<mark>[\"'`])(?P<value>[^\"'`\s\\]{{6,300}})\\?(?P=mark)", re.IGNORECASE
)
_BARE = re.compile(rf"{_NAME}(?P<value>[^\s\"'`#,;]{{8,300}})[ \t]*(?:#.*)?$", re.IGNORECASE | re.MULTILINE)
# As a shell is told, in any file: `BILLING_PASSWORD=…`, `--password …`, `curl -u ana:…`.
_VARIABLE = re.compile(
    rf"(?P<word>{'|'.join(_UPPER)})(?P<more>[A-Z0-9_]{{0,40}})="
    r"(?P<value>[^\s\"'`#,;|&()]{8,300})(?![^\s\"'`#,;|&])"
)
_OPTION = re.compile(
    rf"--(?:[a-z0-9]{{1,20}}-){{0,3}}(?P<word>{'|'.join(_WORDS)})(?P<more>)[= ]\s{{0,5}}[\"']?"
    r"(?P<value>[^\s\"'`|&;()]{6,300})"
)
_CURL = re.compile(
    r"(?P<word>curl)(?P<more>\b)[^\n|;&]{0,300}?\s(?:-u|--user)[= ]?\s{0,5}[\"']?[^\s:\"'`]{1,100}:"
    r"(?P<value>[^\s\"'`|&;()]{6,300})"
)
_HEADER = re.compile(r"(?:bearer|basic)\s+(?P<value>[A-Za-z0-9+/_.~-]{20,300}={0,2})", re.IGNORECASE)
_URL = re.compile(r"://[^\s/:@\"'`<>]{0,100}:(?P<value>[^\s/@\"'`<>]{3,200})@(?P<host>[^\s/:\"'`<>?#]+)", re.IGNORECASE)
_STRING = re.compile(r"(?<![A-Za-z0-9+/_.~-])[A-Za-z0-9+/_-]{20,200}={0,2}(?![A-Za-z0-9+/_.~=-])")

_SETTINGS = frozenset(
    {".env", ".ini", ".cfg", ".conf", ".properties", ".yaml", ".yml", ".sh", ".bash", ".tfvars", ".toml"}
)
_SETTINGS_NAMES = frozenset({".env", ".npmrc", ".pypirc", ".netrc", ".pgpass", "credentials", "dockerfile", ".envrc"})
_LOCKS = frozenset({
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "pdm.lock",
    "pipfile.lock", "cargo.lock", "go.sum", "composer.lock", "gemfile.lock", "flake.lock", "bun.lock",
})  # fmt: skip
_DATA = frozenset(
    {".svg", ".map", ".lock", ".sum", ".pem", ".crt", ".cer", ".pub", ".asc", ".sig", ".ipynb", ".csv", ".tsv"}
)

# What stands where a secret would, and is none.
_PLACEHOLDER = re.compile(
    r"example|sample|changeme|change[_-]me|placeholder|dummy|your[_-]?|redacted|replace|insert|xxxx|\*\*\*|\.\.\.|…|"
    r"not[_-]?a[_-]|fake|todo|foobar|(?<![a-z])(?:test|mock|none|null|undefined|true|false)(?![a-z])|"
    r"^<|>$|\$|\{|\}|%[sd(]|0123456|1234567|abcdefg|abcd1234|deadbeef|"
    r"(?P<one>.)(?P=one){5}",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"[A-Za-z_][\w-]*(?:(?:\.|::|->|/)[A-Za-z_][\w-]*)+(?:[\[(].*)?|[A-Za-z_]\w*[\[(].*|[./~].*|[a-z]+:[a-z/].*|--?[a-z].*",
    re.IGNORECASE | re.DOTALL,
)
_NAMELIKE = re.compile(r"[A-Za-z]+(?:[_\-.:/ ][A-Za-z0-9]+)*|[A-Za-z]+[0-9]{0,3}")
_HASHED = re.compile(
    r"(?:sha(?:1|224|256|384|512)|md5|h1|integrity|digest|checksum|base64,|fingerprint)[-:=\"' ,]{0,8}$", re.IGNORECASE
)
_HEX = re.compile(r"(?:0x)?[0-9a-f-]+|(?:0x)?[0-9A-F-]+")
_GENERAL = frozenset(
    {"pass", "password", "passwd", "passphrase", "pw", "pwd", "secret", "token", "key", "user", "port"}
)
_WORDY = re.compile(r"[A-Za-z][a-z]{2,}")
_LOCAL = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[?::1\]?", re.IGNORECASE)
_RESERVED = re.compile(r"(?:.+\.)?example(?:\.\w+)?|(?:.+\.)?(?:test|invalid|local)", re.IGNORECASE)
_STRONG = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9]).{7,}", re.DOTALL)
_PHRASE = re.compile(r"[a-z]{3,}(?:[-_.][a-z]{3,}){2,}")  # three words or more: a password that people remember

# A line of a private key, as it stands in a file, a listing with numbers, a diff, or a string with its breaks escaped.
_LINE_OF_KEY = re.compile(
    r"[ \t\"'>|+]{0,40}(?:\d{1,6}(?:→|\t|:))?[ \t]{0,40}"
    r"(?:(?P<end>-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----)|(?:(?P<body>[A-Za-z0-9+/=]{1,200})"
    r"|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|Encryption|Public-Lines|Private-(?:Lines|MAC)|Key-Derivation"
    r"|Argon2-\w{1,20}): [^\r\n\\]{0,200}|)[ \t\"'+,;})\]]{0,20}(?:\r?\n|(?:\\{1,8}r)?\\{1,8}n|(?![\s\S])))"
)
_SURELY_OF_KEY = re.compile(r"(?=.*[a-z])(?=.*[A-Z]).{40,}")


def scan(path: str, lines: Iterable[tuple[int, str]]) -> list[Hit]:
    """The secrets in numbered lines of a file, in order: one finding for each kind in a line."""
    numbers, texts = [], []
    for number, text in lines:
        numbers.append(number)
        texts.append(text)
    whole = "\n".join(texts)
    starts = [0]
    for text in texts:
        starts.append(starts[-1] + len(text) + 1)
    taken: dict[int, list[tuple[int, int]]] = {}
    found: dict[tuple[int, str], Hit] = {}
    for kind, start, end in _spans(path, whole):
        index = bisect_right(starts, start) - 1
        before = taken.setdefault(index, [])
        if len(before) >= FOUND_IN_A_LINE or any(a < end and start < b for a, b in before):
            continue  # a better-known kind has it already
        before.append((start, end))
        allowed = ALLOWING.search(texts[index]) is not None
        found.setdefault((numbers[index], kind), Hit(path, numbers[index], kind, allowed))
    return sorted(found.values())


def redacted(text: str, path: str = "") -> str:
    """A text with `[secret: kind]` in the place of each known format, password in a URL, and key in an assignment.

    In a file of settings, by its `path`, values need no quotes. Strings that only look drawn by lot stay: logs are full
    of ids. Of a private key all goes, to its end, and nothing else: what only mentions one keeps its other lines.
    """
    found = []
    for kind, start, end in _spans(path, text, by_lot=False):
        if kind.startswith("a private key"):
            end = _end_of_key(text, end)
        found.append((start, end, kind))
    parts, at = [], 0
    for start, end, kind in sorted(found):
        if start >= at:
            parts += [text[at:start], f"[secret: {kind}]"]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _end_of_key(text: str, at: int) -> int:
    """Where a private key ends that was begun before `at`; without its last line, behind what can be nothing else."""
    surely, limit = at, at + KEY_BYTES
    while at < min(limit, len(text)) and (line := _LINE_OF_KEY.match(text, at, limit)) is not None:
        if line["end"] is not None:
            return line.end()
        if line.end() == at:
            break
        at = line.end()
        if line["body"] is not None and _SURELY_OF_KEY.fullmatch(line["body"]):
            surely = line.end("body")
    return surely


def entropy(text: str) -> float:
    """Shannon's entropy of the characters of a text, in bits per character."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0


def _spans(path: str, whole: str, *, by_lot: bool = True) -> Iterator[tuple[str, int, int]]:
    """What is suspicious, best known first: its kind, and from where to where it goes."""
    for one in FORMATS:
        for match in _matches(one.pattern, one.needles, whole, whole, apart=True):
            if not _PLACEHOLDER.search(match[0][: one.core]) or one.kind.startswith("a private key"):
                yield one.kind, match.start(), match.end()
    name = PurePosixPath(path).name.lower()
    ending = PurePosixPath(name).suffix
    yield from _urls(whole)
    # Where letters change their length with their case, positions would not be the same.
    lowered = lowered if len(lowered := whole.lower()) == len(whole) else whole
    yield from _assigned(_QUOTED, lowered, whole, ASSIGNED)
    if ending in _SETTINGS or name in _SETTINGS_NAMES or name.startswith(".env"):
        yield from _assigned(_BARE, lowered, whole, UNQUOTED)
    yield from _assigned(_VARIABLE, whole, whole, ASSIGNED, _UPPER)
    yield from _assigned(_OPTION, whole, whole, ASSIGNED, ("--",))
    yield from _assigned(_CURL, whole, whole, ASSIGNED, ("curl ",))
    for match in _matches(_HEADER, ("bearer ", "basic "), lowered, whole):
        if _is_drawn(match["value"]):
            yield ASSIGNED, match.start("value"), match.end("value")
    if by_lot and name not in _LOCKS and ending not in _DATA and ".min." not in name:
        yield from _drawn(whole)


def _matches(
    pattern: re.Pattern[str], needles: tuple[str, ...], searched: str, whole: str, *, apart: bool = False
) -> Iterator[re.Match[str]]:
    """Where a pattern matches that begins with one of the needles; a search for plain text is much the faster one.

    Those that are `apart` do not begin within each other.
    """
    for needle in needles:
        at = searched.find(needle)
        while at >= 0:
            match = pattern.match(whole, at)
            if match is not None:
                yield match
            at = searched.find(needle, match.end() if apart and match is not None else at + len(needle))


def _urls(whole: str) -> Iterator[tuple[str, int, int]]:
    for match in _matches(_URL, ("://",), whole, whole):
        value, host = match["value"], match["host"]
        if value.lower() in _GENERAL or _PLACEHOLDER.search(value) or _LOCAL.fullmatch(host):
            continue
        if _STRONG.fullmatch(value) or not _RESERVED.fullmatch(host):
            yield PASSWORD_IN_URL, match.start("value"), match.end("value")


def _assigned(
    pattern: re.Pattern[str], searched: str, whole: str, kind: str, needles: tuple[str, ...] = _WORDS
) -> Iterator[tuple[str, int, int]]:
    for match in _matches(pattern, needles, searched, whole):
        is_password = match["word"].lower().startswith(("pass", "curl"))
        if _is_secret(match["value"], is_password=is_password) or (
            is_password and not match["more"] and _is_phrase(match["value"])
        ):
            yield kind, match.start("value"), match.end("value")


def _drawn(whole: str) -> Iterator[tuple[str, int, int]]:
    for match in _STRING.finditer(whole):
        if _is_drawn(match[0]) and not _HASHED.search(whole, max(0, match.start() - 24), match.start()):
            yield DRAWN, match.start(), match.end()


def _is_secret(value: str, *, is_password: bool) -> bool:
    """Whether the value of something that is called a secret is one, and not a name, a path, an address or a gap."""
    if _PLACEHOLDER.search(value) or _REFERENCE.fullmatch(value) or _NAMELIKE.fullmatch(value):
        return False
    if is_password:
        return entropy(value) >= 2.2
    has_both = re.search(r"[0-9]", value) is not None and re.search(r"[A-Za-z]", value) is not None
    return len(value) >= 12 and has_both and entropy(value) >= 3.0


def _is_phrase(value: str) -> bool:
    """Whether a value is a password of several words, and not the name of a field or a gap."""
    words = re.split(r"[-_.]", value)
    return _PHRASE.fullmatch(value) is not None and _GENERAL.isdisjoint(words) and not _PLACEHOLDER.search(value)


def _is_drawn(text: str) -> bool:
    """Whether a string looks drawn by lot: of all kinds of letters, and not made of words."""
    bare = text.rstrip("=")
    kinds = _kinds(bare)
    counts = Counter(kinds)
    if counts["d"] < 2 or not counts["a"] or _HEX.fullmatch(bare) or _PLACEHOLDER.search(bare):
        return False
    if bare.startswith("AAAA"):  # a public key of SSH
        return False
    changes = sum(map(str.__ne__, kinds, kinds[1:])) / (len(bare) - 1)
    if counts["A"] >= 2:
        is_worded = changes < 0.5 and sum(map(len, _WORDY.findall(bare))) >= 0.5 * len(bare)
        marks = counts["-"] / len(bare)
        return not is_worded and marks <= 0.15 and entropy(bare) >= min(4.2, 0.86 * math.log2(len(bare)))
    return len(bare) >= 24 and counts["-"] == 0 and changes >= 0.25 and counts["d"] >= 4 and entropy(bare) >= 3.8


def _kinds(text: str) -> str:
    return text.translate(_KINDS)


_KINDS = {
    ord(c): "A" if c.isupper() else "a" if c.islower() else "d" if c.isdigit() else "-" for c in map(chr, range(128))
}
