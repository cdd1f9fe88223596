"""What is shown of a text: no password, nothing that a terminal or a parser would obey, and no more than one reads.

Whatever comes from outside (a file, the command line, a library, a store) passes here before it is printed or written.
"""

from __future__ import annotations

import re

from quantize_zoo.text.masks import mask_urls

LONGEST_LINE = 1_500  # characters of a message
LONGEST_WORD = 400  # of what has no space in it, such as a path or a value
_SCANNED = 10_000  # characters at either end that passwords are looked for in
_OBJECT = re.compile(r"<(?:[\w.]*\.)?(\w+) object at 0x[0-9a-f]+>")  # of which the address says nothing
_KEPT = " \n\t\u00a0"
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def visible(text: str) -> str:
    r"""Return a text whose control characters are written out, as ``\x1b``; lines and tabs stay.

    What is left is well-formed in XML and UTF-8, and moves no cursor and no direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in _KEPT else _written(each) for each in text)


def shown(text: str, longest: int = LONGEST_LINE) -> str:
    """Return a text as one line for people: passwords masked, control characters written out, its middle cut.

    Args:
        text: any text.
        longest: characters; of a longer text beginning and end are kept, and how much there was.

    """
    if len(text) > 2 * _SCANNED:  # beyond what is kept of it in the end
        text = f"{mask_urls(text[:_SCANNED])}{text[_SCANNED:-_SCANNED]}{mask_urls(text[-_SCANNED:])}"
    else:
        text = mask_urls(text)
    lines = (each.strip() for each in shortened(text, 4 * longest).splitlines())
    line = _OBJECT.sub(r"\1", visible(" ".join(each for each in lines if each)))
    if len(line) > LONGEST_WORD:
        line = _LONG_WORD.sub(lambda found: shortened(found[0], LONGEST_WORD), line)
    return shortened(line, longest)


def shown_lines(text: str) -> str:
    """Return the same of each line of a text."""
    return "\n".join(_indented(line) for line in text.splitlines())


def shortened(text: str, longest: int) -> str:
    """Return a text without its middle if it is longer than so many characters."""
    if len(text) <= longest:
        return text
    mark = f"...({len(text):,} characters)..."
    kept = max(longest - len(mark), 0)
    tail = kept // 3
    return f"{text[: kept - tail]}{mark}{text[len(text) - tail :]}"


def _indented(line: str) -> str:
    rest = line.lstrip(" ")
    return line[: len(line) - len(rest)] + shown(rest)


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
