"""JSON into plain values, as POT wrote it: with comments and trailing commas.

Neither Python's parser nor YAML's would do: the one knows no lines, the other is no superset of JSON, and both recurse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from quantize_zoo.text.documents import Builder, Document, SyntaxProblemError, integer, real, require_size

_BETWEEN = re.compile(r"(?:[ \t\r\n]|//[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*")
_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![0-9A-Za-z.+-]))"
    r"|(?P<word>true|false|null)(?![0-9A-Za-z_])"
    r"|(?P<mark>[\]\[{},:])"
)
_WORDS = {"true": True, "false": False, "null": None}
_ENDS = {"{": "}", "[": "]"}
_WANTED = {
    "value": "a value",
    "item": "a value or ']'",
    "key": "a key in quotes or '}'",
    "colon": "':'",
    "end": "nothing more",
}
_SHOWN = 20  # characters of what was found instead


class _Token(NamedTuple):
    kind: str
    text: str
    line: int
    whole: bool = False  # of a number: without fraction and exponent


def parse_json(text: str) -> Document:
    """Return the plain values of a JSON text.

    Raises:
        TextError: it is not JSON, has a key twice, or is beyond a limit.

    """
    require_size(len(text.encode("utf-8", "surrogatepass")))
    builder = Builder()
    ends: list[str] = []  # of the mappings and lists that are open
    wanted = "value"
    for token in _tokens(text):
        is_mark = token.kind == "mark"
        if is_mark and ends and token.text == ends[-1] and wanted in ("item", "key", "comma"):
            ends.pop()
            builder.end(token.line)
            wanted = "comma" if ends else "end"
        elif wanted == "comma" and is_mark and token.text == ",":
            wanted = "key" if ends[-1] == "}" else "item"
        elif wanted == "colon" and is_mark and token.text == ":":
            wanted = "value"
        elif wanted == "key" and token.kind == "text":
            builder.scalar(_value_of(token), token.line)
            wanted = "colon"
        elif wanted in ("value", "item") and is_mark and token.text in _ENDS:
            builder.start({} if token.text == "{" else [], token.line)
            ends.append(_ENDS[token.text])
            wanted = "key" if token.text == "{" else "item"
        elif wanted in ("value", "item") and token.kind in ("text", "number", "word"):
            builder.scalar(_value_of(token), token.line)
            wanted = "comma" if ends else "end"
        elif wanted == "end" and token.kind == "end":
            return builder.document()
        else:
            expected = f"',' or '{ends[-1]}'" if wanted == "comma" else _WANTED[wanted]
            found = "the end of the text" if token.kind == "end" else ascii(token.text)
            raise SyntaxProblemError(token.line, f"expected {expected}, found {found}")
    raise AssertionError("the last token is the end")


def _tokens(text: str) -> Iterator[_Token]:
    text = text.removeprefix("\ufeff")
    position, line = 0, 1
    while True:
        between = _BETWEEN.match(text, position)
        assert between is not None, "nothing at all is between tokens, too"
        line += between[0].count("\n")
        position = between.end()
        if position == len(text):
            yield _Token("end", "", line)
            return
        found = _TOKEN.match(text, position)
        if found is None:
            raise SyntaxProblemError(line, _problem(text, position))
        kind = next(name for name in ("text", "number", "word", "mark") if found[name] is not None)
        yield _Token(kind, found[0], line, whole=not found["rest"])
        position = found.end()


def _problem(text: str, position: int) -> str:
    """Say what is wrong where no token begins."""
    rest = text[position : position + _SHOWN].split("\n")[0]
    if rest.startswith('"'):
        return f"the text {rest!a}... does not end, or has a control character"
    if rest.startswith("/*"):
        return "a comment does not end"
    return f"{rest!a} is neither a value nor a mark of JSON"


def _value_of(token: _Token) -> object:
    if token.kind == "word":
        return _WORDS[token.text]
    if token.kind == "number":
        return integer(token.text, token.line) if token.whole else real(token.text, token.line)
    try:
        return json.loads(token.text)
    except json.JSONDecodeError as error:  # an escape that there is not
        raise SyntaxProblemError(token.line, f"in the text {token.text[:_SHOWN]!a}: {error.msg}") from error
