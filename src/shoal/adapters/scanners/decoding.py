"""From a file's bytes to text and back: whatever the encoding, nothing here fails.

Text that was once read as cp1252 and saved again ("â€”" for "—") is put right: so people recognise it, and it stays the
same item when somebody repairs the file.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
BREAK = re.compile(r"\r\n?|\n")  # what markdown and git call the end of a line; str.splitlines() knows more


def encoding_of(data: bytes) -> tuple[str, int]:
    """The encoding of a file, and how many bytes its mark has."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name, len(mark)
    return "utf-8", 0


def is_binary(data: bytes) -> bool:
    """Whether it is no text: it holds NUL, and no mark says that these are halves of characters."""
    return encoding_of(data)[0].startswith("utf-8") and b"\0" in data


def decoded(data: bytes) -> str:
    """The text of a file as people meant it. What is no character is shown as one that stands for that."""
    encoding, mark = encoding_of(data)
    return repaired(data[mark:].decode(encoding, "replace"))


def _byte_of() -> dict[str, int]:
    """Every character that cp1252 makes of a byte from 128 up; the five that it leaves out are what browsers make."""
    made = {}
    for byte in range(0x80, 0x100):
        try:
            made[bytes([byte]).decode("cp1252")] = byte
        except UnicodeDecodeError:
            made[chr(byte)] = byte
    return made


_BYTES = _byte_of()


def _among(*ranges: tuple[int, int]) -> str:
    wanted = {byte for first, last in ranges for byte in range(first, last + 1)}
    return "[" + "".join(re.escape(char) for char, byte in _BYTES.items() if byte in wanted) + "]"


_NEXT = _among((0x80, 0xBF))
# Alone, only what nobody writes: "É”" ends a quotation, while "Ã©" and "â€”" mean nothing. Other scripts come in runs.
_ALONE = rf"{_among((0xC2, 0xC3))}{_NEXT}|â{_among((0x80, 0x84), (0x86, 0x9E))}{_NEXT}|ï[¸»]{_NEXT}"
_ALONE += rf"|ð{_among((0x90, 0xBF))}{_NEXT}{{2}}"
_ANY = rf"(?:{_among((0xC2, 0xDF))}{_NEXT}|{_among((0xE0, 0xEF))}{_NEXT}{{2}})"
_TWICE_ENCODED = re.compile(rf"(?:{_ALONE}|{_ANY}{{3,}})+")


def repaired(text: str) -> str:
    """A text without what came of reading UTF-8 as cp1252. No line more or less."""
    if text.isascii():
        return text
    return _TWICE_ENCODED.sub(_once, text)


def _once(found: re.Match[str]) -> str:
    try:
        made = bytes(_BYTES[char] for char in found[0]).decode()
    except UnicodeDecodeError:
        return found[0]
    return found[0] if any(char < " " or char in "\x7f\x85\u2028\u2029" for char in made) else made
