"""Lines as a stream, and as objects of JSON or of Python; many of them hostile."""

import ast
import bz2
import gzip
import json
import tracemalloc

import hypothesis
import hypothesis.strategies as st
import pytest

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.readers import line_objects, line_stream
from data_pipelines.readers.line_objects import (
    BadLine,
    good_lines,
    json_object,
    json_or_literal_object,
)
from data_pipelines.readers.line_stream import numbered_lines


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("f.json", bytes),
        ("f.json.gz", gzip.compress),
        ("f.json", gzip.compress),
        ("f.json.gz", bytes),
        ("f.json.bz2", bz2.compress),
        ("f.json.gz", lambda text: gzip.compress(text[:4]) + gzip.compress(text[4:])),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\n \n"])
@pytest.mark.parametrize("chunk", [1, 3, 1 << 22])
def test_lines_are_those_of_the_file(tmp_path, monkeypatch, name, packed, end, chunk):
    monkeypatch.setattr(line_stream, "_CHUNK_BYTES", chunk)
    path = tmp_path / name
    path.write_bytes(packed(b"\xef\xbb\xbfone\n\n\t\ntw\xc3\xb6\r\nthree" + end))
    assert list(numbered_lines(path)) == [(1, b"one"), (4, b"tw\xc3\xb6\r"), (5, b"three")]


PACKED = gzip.compress(b"".join(b"line %d\n" % k for k in range(20_000)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.gz: the file is empty"),
        (b"\n \n", "f.gz: the file has no lines but blank ones"),
        (b"\xef\xbb\xbf\n", "f.gz: the file has no lines but blank ones"),
        (gzip.compress(b""), "f.gz: the file has no lines but blank ones"),
        (PACKED[:-1000], "f.gz: the gzip file is truncated, after line 19"),
        (PACKED[:-4], "f.gz: the gzip file is truncated, after line 20000; fetch it again"),
        (PACKED[:5], "f.gz: the gzip file is truncated, after line 0"),
        (PACKED[:-8] + b"\0" * 8, "f.gz: the gzip file is damaged (CRC check failed"),
        (PACKED[:20] + b"\xff" * 20 + PACKED[40:], "f.gz: the gzip file is damaged ("),
        (PACKED + b"junk", "f.gz: the gzip file is damaged (Not a gzipped file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_not_whole_is_named(tmp_path, content, message):
    path = tmp_path / "f.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(numbered_lines(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_without_an_end_takes_little_memory(tmp_path, monkeypatch):
    for module in (line_stream, line_objects):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 1 << 16)
    monkeypatch.setattr(line_stream, "_CHUNK_BYTES", 1 << 16)
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"\n" * 1000 + b"[" * (16 << 20) + b"\n{}\n", compresslevel=1))
    bad_lines = BadLines("", 1)
    tracemalloc.start()
    try:
        found = list(good_lines(path, json_object, bad_lines))
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert (found, bad_lines.count) == ([(1002, {})], 1)
    with pytest.raises(DataError, match=r"f\.gz, line 1001: longer than 65,536 bytes"):
        list(good_lines(path, json_object, BadLines("", 0)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda of: st.lists(of) | st.dictionaries(st.text(), of),
    max_leaves=8,
)
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"\\uNTF,:{}[] "))
values = st.recursive(
    texts | json_values,
    lambda of: st.lists(of, max_size=4) | st.dictionaries(texts, of, max_size=4),
    max_leaves=10,
)


@hypothesis.given(st.dictionaries(texts, values, max_size=4))
def test_json_and_literals_are_read_back(record):
    for text in (json.dumps(record), json.dumps(record, ensure_ascii=False)):
        assert json_object(text.encode()) == record
        assert json_or_literal_object(text.encode()) == record
    for text in (repr(record), ascii(record)):
        assert json_or_literal_object(text.encode()) == record


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@hypothesis.settings(max_examples=300)
@hypothesis.given(st.text("'\"\\u{}[]:,aNonexT0 \t", max_size=12).map("{{'k': {}}}".format))
def test_what_is_read_is_what_python_reads(text):
    hypothesis.assume("NaN" not in text)  # JSON knows it.
    try:
        found = json_or_literal_object(text.encode())
    except BadLine:
        return
    assert found == ast.literal_eval(text)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize(
    ("text", "record"),
    [
        (r"{'a': 'It\'s', u'b': u'\xe9\u2019', 'c': ''}", {"a": "It's", "b": "é\u2019", "c": ""}),
        (r"""{"a": "\d \"x\" 'y'", 'b': '"None"'}""", {"a": "\\d \"x\" 'y'", "b": '"None"'}),
        ("{'None': None, 'x': [True, False, -1.5e3]}", {"None": None, "x": [True, False, -1500.0]}),
        ("{'tab': 'a\tb'}", {"tab": "a\tb"}),
    ],
)
def test_literals_as_python_2_wrote_them(text, record):
    assert json_or_literal_object(text.encode()) == record
    assert ast.literal_eval(text) == record


DEEP = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        "{'a': " + "[" * DEEP,
        "{'a': " + "[" * DEEP + "]" * DEEP + "}",
        "{'a': 1" + "+1" * DEEP + "}",
        "{'a': a" + ".a" * DEEP + "}",
        "{'a': ''" + "[0]" * DEEP + "}",
        "{'a': f" + "()" * DEEP + "}",
        "{'a': " + "-" * DEEP + "1}",
        "{'a': " + "not " * DEEP + "1}",
        "{'a': '" + "\\" * DEEP,
        "{'a': " + "'b' " * DEEP + "}",
        "{'a': " + "9" * DEEP + "}",
        "{'a': " + "'" * (2 * DEEP + 1) + "}",
        "{'a': '\\x'}",
        "{'a': '\\N{no such sign}'}",
        "{'a': b'c'}",
        "{'a': rb'c'}",
        "{'a': f'{1}'}",
        "{'a': '''b'''}",
        "{'a': ('b',)}",
        "{'a': {'b'}}",
        "{'a': 1 + 2}",
        "{'a': open('f')}",
        "{'a': __import__('os').system('false')}",
        "{'a': [b for b in 'cd']}",
        "{'a': 'b' 'c'}",
        "{'a': 'b}",
        "{\"a': 1}",
        "{\"k\\': ' : 1}",
        "{1: 'a'}",
        "{'a': NoneType}",
        "{'a': None1}",
        "exit()",
    ],
    ids=lambda text: f"{text[:24]}..{len(text)}",
)
def test_a_hostile_literal_is_a_bad_line(text, recwarn):
    with pytest.raises(BadLine, match="neither JSON nor a Python literal of texts, numbers"):
        json_or_literal_object(text.encode())
    assert not recwarn


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', "not JSON: Expecting ',' delimiter at sign 8."),
        (b"{'a': 1}", "not JSON: Expecting property name"),
        (b"[1, 2]", "[1, 2] is not an object."),
        (b"null", "None is not an object."),
        (b'"\\u001b[31m"', "'\\x1b[31m' is not an object."),
        (b'{"a": "\xff"}', "not utf-8 text; convert the file to UTF-8."),
        (b'{"a": ' + b"[" * DEEP, "not JSON: nested too deep."),
        (b'{"a": ' + b"9" * DEEP + b"}", "not JSON: a number with too many digits."),
    ],
    ids=lambda value: f"{value[:20]}" if isinstance(value, bytes) else "",
)
def test_bad_json_says_what_is_wrong(line, message):
    with pytest.raises(BadLine) as caught:
        json_object(line)
    assert message in str(caught.value)


def test_half_a_surrogate_pair_is_no_text():
    assert line_objects.is_text("né")
    assert not line_objects.is_text(json.loads('"\\ud800"'))
    assert not line_objects.is_text(7)
