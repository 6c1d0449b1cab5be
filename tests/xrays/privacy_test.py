"""No patient data of a DICOM file appears in values, errors, logs or warnings."""

import dataclasses
import logging
import warnings

import pydicom
import pytest
from pydicom import uid
from pydicom.datadict import DicomDictionary, dictionary_keyword

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.reading.members import read_images
from beamscope.transforms.sources.sources import find_sources
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.dicom import _PIXEL_ATTRIBUTES, ALLOWED
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.names import FILM_NAMES
from beamscope.transforms.xrays.reading.film_block import FilmReading, FilmSettings
from tests.xrays.dicom_makers import make_dataset, ramp, to_bytes

# pydicom, writing the test's own files, says what it thinks of their character set.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown encoding")

SENTINEL = "Zaphod"
NUMBER = "31415926"
# What a value representation may hold: text, or digits where pydicom would not write text.
TEXT = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
DIGITS = ("DS", "IS")


def plant(dataset):
    """Put the sentinel wherever an attribute takes text, in sequences and private groups too."""
    planted = 0
    with pydicom.config.disable_value_validation():
        for tag, (vr, *_) in DicomDictionary.items():
            keyword = dictionary_keyword(tag)
            ours = {*_PIXEL_ATTRIBUTES, *ALLOWED, "SOPClassUID", "SOPInstanceUID"}
            if tag >> 16 < 8 or keyword in ours or not keyword or keyword in dataset:
                continue
            if vr in TEXT or vr in DIGITS:
                dataset.add_new(tag, vr, SENTINEL if vr in TEXT else NUMBER)
                planted += 1
        item = pydicom.Dataset()
        item.PatientName, item.PatientBirthDate = SENTINEL, SENTINEL
        nested = pydicom.Dataset()
        nested.OtherPatientIDsSequence = [item]
        dataset.RequestAttributesSequence = [nested]
        block = dataset.private_block(0x0051, f"{SENTINEL} creator", create=True)
        block.add_new(0x01, "LT", f"{SENTINEL} comment")
        dataset.SpecificCharacterSet = SENTINEL
        dataset.file_meta.SourceApplicationEntityTitle = SENTINEL
        dataset.file_meta.ImplementationVersionName = SENTINEL
    assert planted > 1000
    return dataset


def cases():
    film = ramp(bits=12)
    yield "sound", make_dataset(film, bits=12)
    yield "JPEG 2000", make_dataset(film, uid.JPEG2000Lossless, 12)
    yield "short pixels", make_dataset(film[:-9], bits=12, Rows=48)
    yield "damaged JPEG", make_dataset(film, uid.JPEGLosslessSV1, 12, b"\xff\xd8" + bytes(50))
    yield "damaged RLE", make_dataset(film, uid.RLELossless, 12, b"\2\0\0\0" + bytes(80))
    yield "two frames", make_dataset(film, bits=12, NumberOfFrames=2)
    yield "no pixels", make_dataset(film, bits=12, PixelData=None)
    yield "bad bits", make_dataset(film, bits=12, BitsStored=77)
    yield "two windows", make_dataset(film, bits=12, WindowCenter=[3, 4], WindowWidth=[0, -1])


@pytest.mark.parametrize("case", cases(), ids=lambda case: case[0])
def test_no_planted_value_leaves_a_file(case, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    data = to_bytes(plant(case[1]))
    assert data.count(SENTINEL.encode()) > 1000
    # What pydicom has said while the film was made is not ours.
    caplog.clear()
    (tmp_path / "film.dcm").write_bytes(data)
    (tmp_path / "cut.dcm").write_bytes(data[: len(data) // 2])
    (tmp_path / "noise.dcm").write_bytes(data[:2000] + bytes(range(256)) + data[2100:])
    settings = FilmSettings(Preprocess(32), DecodeSettings())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        (source,) = find_sources([str(tmp_path)])
        listing = list_members(source, Limits(), FILM_NAMES)
        block = read_images(source, listing.members, FilmReading(settings))
        try:
            film = repr(decode_film(data, settings.decode))
        except InputError as error:
            film = repr((error, error.__cause__, error.__dict__))
    printed = capfd.readouterr()
    everything = [
        *(repr(dataclasses.asdict(problem)) for problem in block.problems),
        block.rows.to_pylist().__repr__(),
        repr(listing),
        film,
        caplog.text,
        printed.out,
        printed.err,
        *(str(one.message) for one in warned),
    ]
    assert len(block.problems) + len(block.rows) == 3
    for text in everything:
        assert SENTINEL.lower() not in text.lower()
        assert NUMBER not in text


def test_a_named_attribute_leaves_and_no_other():
    data = to_bytes(plant(make_dataset(ramp(bits=12), bits=12)))
    film = decode_film(data, DecodeSettings(keep_tags=("AccessionNumber",)))
    assert film.kept == {"AccessionNumber": SENTINEL}


@pytest.mark.parametrize(
    "text", ["Zaphod Beeblebrox, 42", "ZAPHOD", "PA ZAPHOD", "PA\\\\ZAPHOD", "42"]
)
@pytest.mark.parametrize("keyword", ["ViewPosition", "Modality"])
def test_free_text_does_not_leave_by_an_allowed_attribute(keyword, text):
    dataset = make_dataset(ramp(bits=12), bits=12)
    dataset.ViewPosition, dataset.Modality = "PA", "DX"
    with pydicom.config.disable_value_validation():
        setattr(dataset, keyword, text)
    film = decode_film(to_bytes(dataset), DecodeSettings())
    found = {"ViewPosition": film.view_position, "Modality": film.modality}
    assert found == {"ViewPosition": "PA", "Modality": "DX", keyword: "OTHER"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [("PA", "PA"), ("pa ", "PA"), ("LLO", "LLO"), ("MLO", "MLO"), ("XCCL", "XCCL"), ("", None),
     ("LATERAL", "LATERAL"), ("AP AXIAL", "AP AXIAL"), ("PORTABLE", "OTHER")],
)  # fmt: skip
def test_defined_terms_leave(written, expected):
    dataset = make_dataset(ramp(bits=12), bits=12)
    with pydicom.config.disable_value_validation():
        dataset.ViewPosition = written
    assert decode_film(to_bytes(dataset), DecodeSettings()).view_position == expected


def test_a_photometric_interpretation_that_is_none_is_not_quoted():
    dataset = make_dataset(ramp(bits=12), bits=12)
    dataset.PhotometricInterpretation = SENTINEL.upper()
    with pytest.raises(InputError) as caught:
        decode_film(to_bytes(dataset), DecodeSettings())
    assert SENTINEL.lower() not in repr((caught.value, caught.value.__context__)).lower()
