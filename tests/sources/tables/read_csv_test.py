"""Compare the reader with pandas, which has its own parser."""

import gzip
import io

import pandas as pd
import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.tables.read_csv import read_csv
from tests.shared_data import shared


def as_pandas(data):
    return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, encoding="utf-8-sig")


def check(data, expected=None):
    table = read_csv(data).columns
    expected = as_pandas(data) if expected is None else expected
    assert table.column_names == list(expected.columns)
    assert table.to_pylist() == expected.to_dict("records")


@pytest.mark.parametrize(
    "data",
    [
        b"file,a\nx,1\ny,2\n",
        b"file,a\nx,1\ny,2",
        b"file,a\r\nx,1\r\ny,2\r\n",
        b"file,a\rx,1\ry,2\r",
        b"file,a\rx,1\ry,2",
        b"file,a\n\nx,1\n\n\ny,2\n\n",
        b'file,a\nx,"one, ""two"""\ny,\n',
        b'file,a\nx,"one\ntwo\n"\ny,"\r\n"\n',
        b'file,a\nx,5" tube\ny,2\n',
        b"\xef\xbb\xbffile,a\nx,\xc3\xb6\n",
        b'"file","a"\n"x","1"\n',
        b"file,a\n",
        b"file\nx\ny\n",
    ],
)
def test_as_pandas_reads_it(data):
    check(data)
    check(gzip.compress(data, mtime=0), as_pandas(data))


def test_the_case_of_line_ends_within_quotes():
    data = shared("cases/xrays/csv_newline_in_quotes/reports.csv").read_bytes()
    assert read_csv(data).columns.num_rows == 6148
    check(data)


@pytest.mark.parametrize("size", [1, 1000, 1 << 20, 3 << 20])
def test_line_ends_within_quotes_at_any_size(size):
    report = "line of text\r\n" * (size // 14 + 1)
    rows = "".join(f'{i},"{report}"\n' for i in range(3))
    check(f"file,report\n{rows}".encode())


def test_line_ends_within_quotes_anywhere():
    rows = "".join(f'{i},"{"x" * (i % 97)}\n{"y" * (i % 89)}"\n' for i in range(40_000))
    check(f"file,report\n{rows}".encode())


def test_rows_know_their_line():
    table = read_csv(b'file,a\nx,"1\n2\n3"\n\ny,2\n')
    assert table.lines.tolist() == [2, 6]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_mark_tells_the_encoding(encoding):
    check("file,a\nrö,1\n".encode(encoding), pd.DataFrame({"file": ["rö"], "a": ["1"]}))


def test_a_header_that_comes_again_is_no_row():
    one, two = b"file,a\nx,1\n", b"file,a\ny,2\n"
    check(one + two, as_pandas(b"file,a\nx,1\ny,2\n"))
    check(gzip.compress(one, mtime=0) + gzip.compress(two), as_pandas(b"file,a\nx,1\ny,2\n"))


def test_rows_and_columns_of_a_spreadsheet_that_hold_nothing_are_left_out():
    check(b"file,a,\nx,1,\n,,\n", as_pandas(b"file,a\nx,1\n"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'file,a\nx,"1\ny,2\n', "from line 2 on"),
        (b'file,a\nx,"1\ny,2\n"z",3\n', "from line 2 on"),
        (b'file,"a\nx,1\ny,2\n', "from line 1 on"),
        (b'file,a\nx,"1"2\n', "from line 2 on"),
        (b"file,a\nx,1,2\n", "line 2 has 3 columns, the header 2"),
        (b'file,a\nx,"1\n2"\ny\n', "line 4 has 1 columns"),
        (b"file,a,file\nx,1,y\n", "two columns 'file'"),
        (b"file,a\nr\xf6,1\n", "not UTF-8"),
        ("file,a\nx,1\n".encode("utf-16-le"), "UTF-16 without a mark"),
        (b"PK\x03\x04" + bytes(100), "Excel"),
        (gzip.compress(b"file,a\nx,1\n" * 900, mtime=0)[:-20], "ends too early"),
        (b"\x1f\x8b" + b"\xff" * 30, "damaged"),
        (b'file,a\nx,"' + b"y" * (20 << 20), "from line 2 on"),
    ],
)
def test_read_csv_errors(data, message):
    with pytest.raises(InputError, match=message) as caught:
        read_csv(data)
    assert caught.value.kind == "unreadable_catalog"


def test_a_message_has_no_text_of_a_cell_errors():
    with pytest.raises(InputError) as caught:
        read_csv(b'file,name\nx,"Zaphod"Beeblebrox\n')
    assert "Zaphod" not in str(caught.value)
