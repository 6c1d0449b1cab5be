import gzip

import pytest

from beamscope.transforms.probe.tables.label_file import read_table
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"id,label\na,1\nb,NA\nc, \n"),
        ("a.tsv", b"id\tlabel\na\t1\nb\tnan\nc\t\n"),
        ("a.csv.gz", b'id,label\n"a",1\nb,?\nc,None\n'),
        ("a.tsv.gz", b'id\tlabel\n"a"\t1\r\nb\t#N/A\r\nc\t-\r\n'),
    ],
)
def test_tables_are_read_with_their_blanks(tmp_path, name, data):
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    table = read_table(str(tmp_path / name), "--labels")
    assert len(table) == 3
    assert table.columns == {"id": ["a", "b", "c"], "label": ["1", None, None]}
    assert table.column("label", "--target") == ["1", None, None]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "--labels .*No such file"),
        (b"PK\x03\x04", "--labels .*an Excel workbook; save it as CSV"),
        (b"id,label\n", "--labels .*it has no rows"),
        (b"a,b\n1\n", "--labels .*line 2 has 1 columns, the header 2"),
    ],
)
def test_label_file_errors(tmp_path, data, message):
    path = tmp_path / "clini.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_table(str(path), "--labels")


def test_a_missing_column_errors(tmp_path):
    (tmp_path / "a.csv").write_text("id,KRAS\na,1\n")
    with pytest.raises(InputError, match=r"--target BRAF: .*no such column; it has id, KRAS"):
        read_table(str(tmp_path / "a.csv"), "--labels").column("BRAF", "--target")
