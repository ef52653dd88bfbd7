"""Where comments are in the common languages: what a file is by its name, and one pattern for what it is made of.

A pattern knows comments, strings and little else; it is no parser, and what is not well formed costs a line or two.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from msgspec import Struct

# What a group's name means to comments.py:
#   line, block   a comment
#   nested        the beginning of a comment that may hold others; `nest` knows both ends
#   text          a string or anything else without comments
#   open_…        the beginning of a string with holes for code; `strings` says what ends it, and where a hole begins
#   regex         what is a regular expression if no value stands before it
#   heredoc       the beginning of lines up to `label`
#   scalar        the beginning of lines that are indented deeper
#   in_LANGUAGE   another language, in the group LANGUAGE_body
#   end           nothing of interest comes after it
BRACKETS = r"|(?P<deeper>[{(])|(?P<higher>[})])"

HASH = r"(?P<line>#[^\n]*)"
SLASHES = r"(?P<line>//[^\n]*)"
URL_SAFE = r"(?P<line>(?<!:)//[^\n]*)"  # where text may stand bare, as in JSX and `url(…)`
BLOCK = r"(?P<block>/\*.*?(?:\*/|\Z))"
NESTED = r"(?P<nested>/\*)"
C_NEST = r"/\*|(?P<close>\*/)"

DOUBLE = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?'
SINGLE = r"'[^'\\\n]*(?:\\.[^'\\\n]*)*'?"
LONG_DOUBLE = r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)'
LONG_SINGLE = r"'[^'\\]*(?:\\(?:.|\Z)[^'\\]*)*(?:'|\Z)"
TRIPLE_DOUBLE = r'"""[^"\\]*(?:(?:\\(?:.|\Z)|"(?!""))[^"\\]*)*(?:"""|\Z)'
TRIPLE_SINGLE = r"'''[^'\\]*(?:(?:\\(?:.|\Z)|'(?!''))[^'\\]*)*(?:'''|\Z)"
BACKTICKS = r"`[^`]*(?:`|\Z)"
CHARACTER = r"(?<![\w'])'(?:[^'\\\n]|\\[^\n][^'\n]{0,9})'"  # not the prime of a name, nor a lifetime
PLAIN_DOUBLED = r"'[^']*(?:''[^']*)*(?:'|\Z)"
# Bounded, so that a long line of quotients is not tried again and again to its end.
REGEX = r"(?P<regex>/(?![/*])(?:[^\\/\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n]){0,200}\]){1,500}/)"
HEREDOC = r"""(?P<heredoc>(?<!<)<<[-~]?(?P<quote>["']?)(?P<label>[A-Za-z_]\w*)(?P=quote))"""

TO_QUOTE = r"\\.|(?P<end>[\"\n])"
TO_FAR_QUOTE = r'\\.|(?P<end>")'
DOLLAR, POUND, SWIFT, SHELL = r"(?P<hole>\$\{)", r"(?P<hole>#\{)", r"(?P<hole>\\\()", r"(?P<hole>\$\()"


class Language(Struct, frozen=True, eq=False):
    """How one language is read. `code` finds the next thing of interest; `holes` the same and brackets."""

    name: str
    code: re.Pattern[str]
    holes: re.Pattern[str]
    strings: dict[str, re.Pattern[str]]
    nest: re.Pattern[str] | None
    bare_regex: bool


def _text(*patterns: str) -> str:
    return f"(?P<text>{'|'.join(patterns)})"


LANGUAGES: dict[str, Language] = {}


def _language(
    name: str, *tokens: str, strings: dict[str, str] | None = None, nest: str | None = None, bare_regex: bool = False
) -> None:
    whole = "|".join(tokens)
    flags = re.DOTALL | re.MULTILINE
    LANGUAGES[name] = Language(
        name,
        re.compile(whole, flags),
        re.compile(whole + BRACKETS, flags),
        {key: re.compile(pattern, flags) for key, pattern in (strings or {}).items()},
        re.compile(nest) if nest else None,
        bare_regex,
    )


_language("python", HASH, _text(TRIPLE_DOUBLE, TRIPLE_SINGLE, DOUBLE, SINGLE))
_language(
    "javascript", URL_SAFE, BLOCK, REGEX, _text(DOUBLE, "(?<![A-Za-z])" + SINGLE), "(?P<open_template>`)",
    strings={"open_template": rf"\\.|(?P<end>`)|{DOLLAR}"},
)  # fmt: skip
_language("go", SLASHES, BLOCK, _text(DOUBLE, CHARACTER, BACKTICKS))
_language(
    "rust", SLASHES, NESTED,
    _text(
        r'\bb?c?r(?P<pounds>#*)".*?(?:"(?P=pounds)|\Z)', LONG_DOUBLE,
        r"'(?:[^'\\\n]|\\(?:u\{[^}\n]{0,9}\}|x..|[^\n]))'",
    ),
    nest=C_NEST,
)  # fmt: skip
_language(
    "c", SLASHES, BLOCK,
    _text(
        r'R"(?P<fence>[^()\\\s]{0,16})\(.*?(?:\)(?P=fence)"|\Z)', DOUBLE,
        r"(?<![0-9a-fA-F])'(?:[^'\\\n]|\\[^\n][^'\n]{0,9})'",
    ),
)  # fmt: skip
_language(
    "csharp", SLASHES, BLOCK,
    _text(r'\$*(?P<quotes>"{3,}).*?(?:(?P=quotes)|\Z)', r'(?:@\$?|\$@)"[^"]*(?:""[^"]*)*(?:"|\Z)'),
    r'(?P<open_holes>\$")', _text(DOUBLE, CHARACTER).replace("<text>", "<text_plain>"),
    strings={"open_holes": rf"\{{\{{|{TO_QUOTE}|(?P<hole>\{{)"},
)  # fmt: skip
_language("java", SLASHES, BLOCK, _text(TRIPLE_DOUBLE, DOUBLE, CHARACTER))
_language("groovy", URL_SAFE, BLOCK, _text(TRIPLE_DOUBLE, TRIPLE_SINGLE, DOUBLE, SINGLE))
_language(
    "kotlin", SLASHES, NESTED, '(?P<open_raw>""")', '(?P<open_plain>")', _text(CHARACTER),
    strings={"open_raw": rf'(?P<end>"{{3,}})|{DOLLAR}', "open_plain": rf"{TO_QUOTE}|{DOLLAR}"}, nest=C_NEST,
)  # fmt: skip
LANGUAGES["scala"] = LANGUAGES["kotlin"]
_language(
    "swift", SLASHES, NESTED, _text(r'(?P<pounds>#+)"(?:"")?.*?(?:"(?:"")?(?P=pounds)|\Z)'),
    '(?P<open_long>""")', '(?P<open_plain>")',
    strings={"open_long": rf'{SWIFT}|\\.|(?P<end>""")', "open_plain": rf"{SWIFT}|{TO_QUOTE}"}, nest=C_NEST,
)  # fmt: skip
_language(
    "dart", SLASHES, NESTED,
    _text(r"\br(?:'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)|'[^'\n]*'?|\"[^\"\n]*\"?)"),
    "(?P<open_long_single>''')", '(?P<open_long>""")', "(?P<open_single>')", '(?P<open_plain>")',
    strings={
        "open_long_single": rf"\\.|(?P<end>''')|{DOLLAR}", "open_long": rf'\\.|(?P<end>""")|{DOLLAR}',
        "open_single": rf"\\.|(?P<end>['\n])|{DOLLAR}", "open_plain": rf"{TO_QUOTE}|{DOLLAR}",
    }, nest=C_NEST,
)  # fmt: skip
_PERCENT = r"%[qQwWiIrx](?:\((?:[^()\\]|\\.)*\)|\[(?:[^\[\]\\]|\\.)*\]|\{(?:[^{}\\]|\\.)*\}|<[^<>]*>|\|[^|]*\||![^!]*!)"
_language(
    "ruby", r"(?P<block>^=begin\b.*?(?:^=end\b|\Z))", r"(?P<end>^__END__$)", HEREDOC,
    _text(_PERCENT, r"(?<![\w)\]}])\?[\"'`#/]", LONG_SINGLE), '(?P<open_plain>")', "(?P<open_command>`)", REGEX, HASH,
    strings={"open_plain": rf"{TO_FAR_QUOTE}|{POUND}", "open_command": rf"\\.|(?P<end>`)|{POUND}"}, bare_regex=True,
)  # fmt: skip
_language(
    "php", BLOCK, SLASHES, r"(?P<line_hash>#(?!\[)[^\n]*)",
    r"(?P<heredoc><<<[ \t]*(?P<quote>[\"']?)(?P<label>[A-Za-z_]\w*)(?P=quote))", _text(LONG_DOUBLE, LONG_SINGLE),
)  # fmt: skip
_language(
    "shell", r"(?P<line>(?<![^\s;&|()`])#[^\n]*)", _text(r"\\.", r"\$'(?:[^'\\]|\\.)*'", r"'[^']*(?:'|\Z)"),
    r"""(?P<heredoc>(?<!<)<<-?[ \t]?(?P<quote>["']?)(?P<label>[A-Za-z_]\w*)(?P=quote))""", '(?P<open_plain>")',
    strings={"open_plain": rf"{TO_FAR_QUOTE}|{SHELL}"},
)  # fmt: skip
_language("powershell", r"(?P<block><#.*?(?:#>|\Z))", _text(r"@'\n.*?(?:\n'@|\Z)", r'@"\n.*?(?:\n"@|\Z)',
          PLAIN_DOUBLED, r'"(?:[^"`]|`.|"")*(?:"|\Z)', r"`."), HASH)  # fmt: skip
_PERL = (
    r"(?<![\w$@%&>{-])(?:q[qwrx]?|m)\s?(?:\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]|/(?:[^/\\\n]|\\.)*/|\|[^|]*\||![^!]*!)",
    r"(?<![\w$@%&>{-])(?:s|tr|y)/(?:[^/\\\n]|\\.)*/(?:[^/\\\n]|\\.)*/",
)
_language(
    "perl", r"(?P<text_pod>^=[a-z]\w*\b.*?(?:^=cut\b[^\n]*|\Z))", r"(?P<end>^__(?:END|DATA)__$)", HEREDOC,
    _text(*_PERL, r"\$[\"'#]", LONG_DOUBLE, r"(?<!\w)" + LONG_SINGLE), REGEX, r"(?P<line>(?<![^\s;{}(),])#[^\n]*)",
    bare_regex=True,
)  # fmt: skip
_language("lua", r"(?P<block>--\[(?P<level>=*)\[.*?(?:\](?P=level)\]|\Z))", r"(?P<line>--[^\n]*)",
          _text(DOUBLE, SINGLE, r"\[(?P<depth>=*)\[.*?(?:\](?P=depth)\]|\Z)"))  # fmt: skip
_language(
    "sql", r"(?P<line>--[^\n]*)", NESTED, _text(PLAIN_DOUBLED, r'"[^"\n]*"', r"`[^`\n]*`"), nest=C_NEST
)  # what stands between $$ and $$ is code as well
_MARKUP = (
    r"(?P<block><!--.*?(?:-->|\Z)|\{#.{0,2000}?#\}|\{\{!--.{0,2000}?--\}\}|<%--.{0,2000}?--%>|<%#.{0,2000}?%>)",
    r"(?P<text><!\[CDATA\[.*?(?:\]\]>|\Z))",
)
_language(
    "html", *_MARKUP, r"(?P<in_php><\?(?:php\b|=)(?P<php_body>.*?)(?:\?>|\Z))",
    r"(?P<in_css>(?i:<style\b)[^<>]{0,2000}>(?P<css_body>.*?)(?i:</style\b|\Z))",
    r"(?P<in_javascript>(?i:<script\b)[^<>]{0,2000}>(?P<javascript_body>.*?)(?i:</script\b|\Z))",
)  # fmt: skip
_language("css", BLOCK, URL_SAFE, _text(DOUBLE, SINGLE, r"url\([^)\n]{0,2000}\)"))
_VALUE = r"(?:(?<=[:\-,\[{=] )|(?<=[\[{,]))"
_language(
    "yaml", r"(?P<scalar>(?<=[:\-] )[|>][-+0-9]{0,2}[ \t]*(?:#[^\n]*)?$)", r"(?P<line>(?<![^\s])#[^\n]*)",
    r"(?P<block>\{\{-?\s{0,9}/\*.{0,2000}?\*/)", _text(_VALUE + LONG_DOUBLE, _VALUE + PLAIN_DOUBLED),
)  # fmt: skip
_language("toml", HASH, _text(TRIPLE_DOUBLE, r"'''.*?(?:'''|\Z)", DOUBLE, r"'[^'\n]*'?"))
_language("ini", r"(?P<line>(?<![^\s])[#;][^\n]*)", _text(r'(?<=[= ])"[^"\n]*"', r"(?<=[= ])'[^'\n]*'"))
_language("dockerfile", r"(?P<line>^[ \t]*#[^\n]*)")
_language("makefile", r"(?P<line>(?<![\\\w$])#[^\n]*)", _text(r'"(?:[^"\\\n]|\\.)*"', r"'[^'\n]*'"))
_language(
    "terraform", HASH, BLOCK, SLASHES.replace("<line>", "<line_slashes>"), HEREDOC, '(?P<open_plain>")',
    strings={"open_plain": rf"{TO_QUOTE}|{DOLLAR}"},
)  # fmt: skip
_language(
    "haskell", r"(?P<line>(?<![!#$%&*+./<=>?@\\^|~:-])--+(?![!#$%&*+./<=>?@\\^|~:-])[^\n]*)", r"(?P<nested>\{-)",
    _text(r'"[^"\\\n]*(?:\\(?:\s+\\|.)[^"\\\n]*)*"?', CHARACTER), nest=r"\{-|(?P<close>-\})",
)  # fmt: skip
_SIGIL = (
    r"~[a-zA-Z]{1,20}(?:\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z)"
    + "".join(rf"|{begin}(?:[^{end}\\]|\\.)*(?:{end}|\Z)" for begin, end in ('""', "''", "//", ("<", ">")))
    + "".join(rf"|\{begin}(?:[^\{end}\\]|\\.)*(?:\{end}|\Z)" for begin, end in ("()", "[]", "{}", "||"))
    + ")"
)
_language(
    "elixir", _text(_SIGIL, r"(?<!\w)\?\\?[\"'#]", TRIPLE_SINGLE), '(?P<open_long>""")', '(?P<open_plain>")',
    _text(LONG_SINGLE).replace("<text>", "<text_plain>"), HASH,
    strings={"open_long": rf'\\.|(?P<end>""")|{POUND}', "open_plain": rf"{TO_FAR_QUOTE}|{POUND}"},
)  # fmt: skip
_language("erlang", r"(?P<line>%[^\n]*)", _text(r"\$\\?.", r'"""\n.*?(?:\n\s*"""|\Z)', LONG_DOUBLE, SINGLE))
_language("clojure", r"(?P<line>;[^\n]*)", _text(r"\\.", LONG_DOUBLE), r"(?P<block>#\|.*?(?:\|#|\Z))")
_language(
    "r", HASH, _text(r"\b[rR]\"(?P<dashes>-*)\(.*?(?:\)(?P=dashes)\"|\Z)", LONG_DOUBLE, LONG_SINGLE, r"`[^`\n]*`")
)
_language(
    "julia", r"(?P<nested>#=)", HASH, '(?P<open_long>""")', '(?P<open_plain>")',
    _text(r"(?<![\w)\]}.'])'(?:[^'\\\n]|\\[^\n][^'\n]{0,9})'", BACKTICKS),
    strings={"open_long": rf'\\.|(?P<end>""")|{SHELL}', "open_plain": rf"{TO_FAR_QUOTE}|{SHELL}"},
    nest=r"#=|(?P<close>=#)",
)  # fmt: skip
_language("zig", SLASHES, _text(r"\\\\[^\n]*", DOUBLE, CHARACTER))
_language("ocaml", r"(?P<nested>\(\*(?!\)))", r"(?P<line>//[^\n]*)", _text(TRIPLE_DOUBLE, LONG_DOUBLE, CHARACTER),
          nest=r"\(\*(?!\))|(?P<close>\*\))")  # fmt: skip
_language("latex", r"(?P<line>(?<!\\)%[^\n]*)")

_ENDINGS = {
    "python": "py pyi pyw pyx pxd bzl star",
    "javascript": "js mjs cjs jsx ts tsx mts cts",
    "go": "go",
    "rust": "rs",
    "c": "c h cc cpp cxx c++ hh hpp hxx h++ inl ipp m mm cu cuh ino proto sol glsl hlsl thrift fbs",
    "csharp": "cs",
    "java": "java",
    "groovy": "groovy gradle",
    "kotlin": "kt kts",
    "scala": "scala sc sbt",
    "swift": "swift",
    "ruby": "rb rake gemspec podspec cr",
    "shell": "sh bash zsh ksh fish bats envrc nix cmake",
    "powershell": "ps1 psm1 psd1",
    "perl": "pl pm t",
    "lua": "lua luau",
    "sql": "sql psql ddl",
    "html": "html htm xhtml xml xsd xsl svg vue svelte astro php phtml twig j2 jinja jinja2 hbs erb ejs jsp aspx xaml",
    "css": "css scss sass less styl",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg conf properties env editorconfig desktop service graphql gql gitignore dockerignore gitattributes",
    "makefile": "mk mak make",
    "dockerfile": "dockerfile",
    "terraform": "tf tfvars hcl",
    "haskell": "hs lhs elm purs",
    "elixir": "ex exs",
    "erlang": "erl hrl",
    "clojure": "clj cljs cljc edn lisp lsp el scm rkt",
    "r": "r",
    "julia": "jl",
    "zig": "zig",
    "dart": "dart",
    "ocaml": "ml mli fs fsi fsx",
    "latex": "tex sty cls",
}  # fmt: skip
_BY_ENDING = {ending: name for name, endings in _ENDINGS.items() for ending in endings.split()}
_NAMES = {
    "makefile": "makefile gnumakefile justfile",
    "dockerfile": "dockerfile containerfile",
    "ruby": "rakefile gemfile vagrantfile podfile fastfile guardfile brewfile",
    "python": "sconstruct sconscript build workspace tiltfile",
    "groovy": "jenkinsfile",
    "shell": "cmakelists.txt bashrc zshrc profile bash_profile zprofile",
    "ini": "codeowners",
}
_BY_NAME = {one: name for name, names in _NAMES.items() for one in names.split()}
_PROGRAMS = (
    ("python", "python"), ("node", "javascript"), ("deno", "javascript"), ("bun", "javascript"), ("ruby", "ruby"),
    ("perl", "perl"), ("php", "html"), ("lua", "lua"), ("Rscript", "r"), ("elixir", "elixir"), ("julia", "julia"),
    ("pwsh", "powershell"), ("make", "makefile"), ("sh", "shell"),
)  # fmt: skip


def language_name(path: str) -> str | None:
    """The language of a file by its name alone; None if it has none that is known."""
    name = path.rpartition("/")[2].lower()
    if name.startswith(".") and name.count(".") == 1:
        name = f"x{name}"  # .env is like x.env, and .bashrc has a name of its own
    known = _BY_NAME.get(name.removeprefix("x.")) or _BY_ENDING.get(PurePosixPath(name).suffix[1:])
    if known is None and name.startswith(("dockerfile.", "containerfile.", "makefile.")):
        return _BY_NAME[name.partition(".")[0]]
    return known


def may_be_source(path: str) -> bool:
    """Whether a file is worth opening: its name is known, or has no ending, so that its first line may say."""
    return "." not in path.rpartition("/")[2] or language_name(path) is not None


def language_of(path: str, first_line: str) -> Language | None:
    """The language of a file, by its name or by the program that its first line names."""
    name = language_name(path)
    if name is None and first_line.startswith("#!") and "." not in path.rpartition("/")[2]:
        program = first_line[2:200]
        name = next((language for word, language in _PROGRAMS if word in program), None)
    return LANGUAGES.get(name) if name else None
