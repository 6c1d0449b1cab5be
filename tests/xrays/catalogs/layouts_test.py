import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.catalogs.layouts import NamedColumns, parse_named_columns


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("view=View", NamedColumns(view="View")),
        (
            "view=V,patient=P,study=S,labels=A|B|C",
            NamedColumns("V", "P", "S", ("A", "B", "C")),
        ),
        ("labels=Pleural Effusion | Edema, patient = Patient ID",
         NamedColumns(patient="Patient ID", labels=("Pleural Effusion", "Edema"))),
        # A comma parts roles only where a role follows.
        ("patient=Name, first,view=a=b", NamedColumns(view="a=b", patient="Name, first")),
    ],
)  # fmt: skip
def test_parse_named_columns(text, named):
    assert parse_named_columns(text) == named


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ROLE=COLUMN"),
        ("view", "ROLE=COLUMN"),
        ("view=", "ROLE=COLUMN"),
        ("age=Age", "view, patient, study, labels"),
        ("view=A,view=B", "view is given twice"),
        ("view=A,patient=A", "one column twice"),
        ("labels=A|A", "one column twice"),
    ],
)
def test_parse_named_columns_errors(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_named_columns(text)
    assert caught.value.kind == "bad_option"
