"""YAML and JSON become plain values, with the line of every key; what is more than that is refused."""

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo.config.json_source import read_json
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.text import from_yaml
from quantize_zoo.text.documents import DEEPEST, LARGEST_TEXT, MOST_VALUES, LimitError, SyntaxProblemError, TextError
from quantize_zoo.text.from_json import parse_json
from quantize_zoo.text.from_yaml import parse_yaml

NINE_LINES_OF_TEN_ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{before}'] * 10)}]\n" for before, this in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(TEXTS, values, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-02-31", "2024-02-31"),
        ("0x_", "0x_"),
        ("0b_", "0b_"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("'5'", "5"),
        ("! 5", "5"),
        ("!!str 5", "5"),
        ("5", 5),
        ("-9223372036854775808", -(2**63)),
        ("0x1F", 31),
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("!!float 5", 5.0),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("accuracy@top1", "accuracy@top1"),
    ],
)
def test_a_value_of_yaml_is_what_it_looks_like(text, value):
    found = parse_yaml(f"key: {text}").data["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "!!int abc",
        "!!float abc",
        "!!bool maybe",
        "!!int 5.5",
        "!!int true",
        "!!timestamp abc",
        "!!binary YQ==",
        "!!set {a}",
        "!!python/object/apply:os.getcwd []",
        "!mine x",
        "&a [*a]",
        "{<<: &m {<<: *m}}",
        "{<<: 3}",
        "{[a]: b}",
        "{{a: b}: c}",
        "*nothing",
        '"\\ud800"',
        '"\\Uffffffff"',
        '"\\0"',
        "[a\n---\nb",
        "a\n---\nb",
    ],
)
def test_what_makes_no_plain_value_is_no_syntax(text):
    with pytest.raises(SyntaxProblemError) as caught:
        parse_yaml(f"\nkey: {text}")
    assert "\n" not in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9" * 5000, "a whole number of 5000 digits"),
        (f"{2**63}", "a whole number of 19 digits, and at most 64 bits"),
        ("0x" + "F" * 5000, "at most 64 bits"),
        ("1e999", "no finite number"),
        (".inf", "no finite number"),
        ("-.Inf", "no finite number"),
        (".nan", "no finite number"),
        ("[" * 900, f"more than {DEEPEST} levels"),
        ("- " * 900, f"more than {DEEPEST} levels"),
        ("[" + "a," * MOST_VALUES + "]", f"more than {MOST_VALUES:,} values"),
        ("x" * LARGEST_TEXT, "more than 524,288 bytes"),
    ],
    ids=lambda value: value[:12],
)
def test_limits_of_yaml(text, problem):
    with pytest.raises(LimitError, match=problem):
        parse_yaml("key:\n " + text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9" * 5000, "a whole number of 5000 digits"),
        ("1e999", "no finite number"),
        ("[" * 900, f"more than {DEEPEST} levels"),
        ("[" + "1," * MOST_VALUES + "]", f"more than {MOST_VALUES:,} values"),
        (" " * LARGEST_TEXT + "1", "more than 524,288 bytes"),
    ],
    ids=lambda value: value[:12],
)
def test_limits_of_json(text, problem):
    with pytest.raises(LimitError, match=problem):
        parse_json('{"key": ' + text + "}")


@pytest.mark.parametrize("depth", [DEEPEST - 1, DEEPEST])
def test_the_deepest_that_is_read(depth):
    """The mapping around it is a level, too."""
    text = "a: " + "[" * depth + "]" * depth
    if depth < DEEPEST:
        parse_yaml(text)
    else:
        with pytest.raises(LimitError):
            parse_yaml(text)


def test_an_alias_is_as_deep_as_what_it_names():
    half = DEEPEST // 2
    text = f"a: &a {'[' * half}{']' * half}\nb: {'[' * (half - 1)}*a{']' * (half - 1)}\n"
    parse_yaml(text)
    with pytest.raises(LimitError, match="levels"):
        parse_yaml(text + f"c: {'[' * half}*a{']' * half}\n")


def test_aliases_that_multiply_are_refused_before_they_take_memory():
    start = time.process_time()
    with pytest.raises(LimitError, match="values, aliases counted as what they name"):
        parse_yaml(NINE_LINES_OF_TEN_ALIASES)
    assert time.process_time() - start < 1


def test_an_alias_is_the_value_that_it_names():
    data = parse_yaml("a: &a {b: [1]}\nc: *a\nd: [*a, *a]\n").data
    assert data == {"a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}, {"b": [1]}]}
    assert data["c"] is data["a"]


def test_merged_keys_give_way_to_those_written():
    data = parse_yaml("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {x: 3, <<: [*a, *b]}\n").data
    assert data["c"] == {"x": 3, "y": 1, "z": 2}


@pytest.mark.parametrize(
    ("parse", "text", "key"),
    [
        (parse_yaml, "a: 1\nb: 2\na: 3", "a"),
        (parse_yaml, "1: x\ny: z\n1: x", "1"),
        (parse_json, '{"a": 1,\n\n"a": 2}', "a"),
    ],
)
def test_a_repeated_key_is_named_with_its_line(parse, text, key):
    with pytest.raises(TextError, match=f"key '{key}' appears twice") as caught:
        parse(text)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_yaml, "a:\n  b:\n  - 1\n  - c: x\n"),
        (parse_json, '{"a":\n {"b":\n [1,\n {"c": "x"}]}}'),
    ],
)
def test_every_key_has_its_line(parse, text):
    found = parse(text)
    assert found.data == {"a": {"b": [1, {"c": "x"}]}}
    lines = {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1): 4, ("a", "b", 1, "c"): 4}
    assert found.lines == lines


@given(PLAIN)
def test_json_is_read_as_python_reads_it(value):
    assert parse_json(json.dumps(value)).data == value
    assert parse_json(json.dumps(value, ensure_ascii=False, indent=1)).data == value


@given(PLAIN)
def test_yaml_in_quotes_is_read_as_pyyaml_reads_it(value):
    text = yaml.safe_dump(value, default_style='"')
    assert parse_yaml(text).data == value


@pytest.mark.parametrize("parse", [parse_yaml, parse_json])
@given(text=st.text(alphabet="ab:-[]{}&*!%#|>'\"\\\n\t ,?~<1.e0x_@`\0\ufeff\ud800"))
def test_any_text_is_read_or_refused_with_a_line_of_its_own(parse, text):
    problem = refusal(parse, text)
    assert problem is None or 1 <= problem.line <= text.count("\n") + 1
    assert problem is None or "\n" not in problem.problem


def refusal(parse, text):
    try:
        parse(text)
    except TextError as error:
        return error
    return None


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "' + '\\"' * 100_000,
        "/*" + "*a" * 100_000,
        '{"a": ' + "/**/" * 100_000,
        '"' + "a" * 200_000,
        "[" + '"",' * 20_000,
    ],
    ids=lambda text: text[:8],
)
def test_json_takes_time_as_it_is_long(text):
    start = time.process_time()
    with pytest.raises(TextError):
        parse_json(text)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\uffff", "\U0010ffff"])
def test_json_takes_any_character(character):
    assert parse_json(json.dumps({"a": character}, ensure_ascii=False)).data == {"a": character}
    key = "k" * 1500 + character
    assert parse_json(json.dumps({key: 1}, ensure_ascii=False)).lines[(key,)] == 1


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('{"a": 1\n "b": 2}', 2, "expected ',' or '}', found '\"b\"'"),
        ('{"a": "\\ud800"}', 1, r"character U\+D800 in a text"),
        ('{"a": "\\u0000"}', 1, r"character U\+0000 in a text"),
        ('{"a": NaN}', 1, "'NaN}' is neither a value nor a mark of JSON"),
        ('{"a": 01}', 1, "neither a value nor a mark"),
        ('{"a": "\\q"}', 1, "escape"),
        ("[1,\n,2]", 2, "expected a value or ']', found ','"),
        ("{} {}", 1, "expected nothing more, found '{'"),
        ("\n/* x", 2, "a comment does not end"),
        ("", 1, "found the end of the text"),
    ],
)
def test_json_syntax_errors_name_their_line(text, line, problem):
    with pytest.raises(SyntaxProblemError, match=problem) as caught:
        parse_json(text)
    assert caught.value.line == line


def test_the_file_and_the_line_are_named(tmp_path):
    path = tmp_path / "deep.yml"
    path.write_text("a: 1\nb: " + "[" * 900)
    with pytest.raises(ConfigurationError, match=r"deep.yml:2: beyond what is read: more than 50 levels"):
        read_yaml(path)
    path = tmp_path / "big.json"
    path.write_bytes(b"\xff" * (LARGEST_TEXT + 1))
    with pytest.raises(ConfigurationError, match=r"big.json: beyond what is read: it has more than 524,288 bytes"):
        read_json(path)


@pytest.mark.parametrize("parser", [yaml.SafeLoader, yaml.CSafeLoader])
def test_both_of_pyyamls_parsers_say_the_same(monkeypatch, parser):
    """The one in Python is taken where PyYAML was built without libyaml."""
    monkeypatch.setattr(from_yaml, "_PARSER", parser)
    for file in (Path(__file__).parents[2] / "model_zoo_configs").rglob("*.yml"):
        assert parse_yaml(file.read_text()).data == yaml.safe_load(file.read_text())
    text = "a: '5'\nb: \"5\"\nc: 5\nd: |\n  5\n<<: {e: 5}\n'<<': {f: 5}\n"
    assert parse_yaml(text).data == {"a": "5", "b": "5", "c": 5, "d": "5\n", "e": 5, "<<": {"f": 5}}
    for bad in ('"\\Uffffffff"', '"\\ud800"', "\x07", "[" * 2000, "%YAML 1." + "9" * 5000 + "\n---\n", "a\tb: \ud800"):
        with pytest.raises(TextError):
            parse_yaml(bad)
