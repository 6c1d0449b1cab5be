import pytest

from beamscope.transforms.inference.remedis import RemedisModel, parse_remedis_name

PATH_50X1_M = RemedisModel("path", "50x1", "m", 224)
CXR_152X2_S = RemedisModel("cxr", "152x2", "s", 448)


@pytest.mark.parametrize(
    ("uri", "model"),
    [
        ("path-50x1-remedis-m", PATH_50X1_M),
        ("/models/path-50x1-remedis-m/", PATH_50X1_M),
        ("gs://bucket/models/PATH-50X1-REMEDIS-M", PATH_50X1_M),
        ("path-50x1-remedis-m_1", PATH_50X1_M),
        ("path-50x1-remedis-m-v2", PATH_50X1_M),
        ("path-50x1-remedis-m-1.0.0", PATH_50X1_M),
        ("models/path-50x1-remedis-m/1/", PATH_50X1_M),
        ("cxr-152x2-remedis-s", CXR_152X2_S),
        ("cxr-52x2-remedis-s", CXR_152X2_S),
        ("path-52x2-remedis-m/0003", RemedisModel("path", "152x2", "m", 224)),
    ],
)
def test_parse_remedis_name(uri: str, model: RemedisModel) -> None:
    assert parse_remedis_name(uri) == model
    assert model.input_range == "0..1"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/",
        "1",
        "squeezenet11-imagenet",
        "derm-50x1-remedis-m",
        "path-101x1-remedis-m",
        "path-50x1-remedis-x",
        "path-50x1-remedis-m-finetuned",  # somebody's own, which may be called otherwise
        "my-path-50x1-remedis-m",
        "path-50x1-remedis-m/other",
        "path-50x1-remedis-m/1/2",
    ],
)
def test_parse_remedis_name_of_others(uri: str) -> None:
    assert parse_remedis_name(uri) is None
