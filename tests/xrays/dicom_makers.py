"""DICOM films for tests, in every transfer syntax."""

import io

import imagecodecs
import numpy as np
import pydicom
import simplejpeg
from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

LOSSLESS = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)


def ramp(height=48, width=64, bits=12, signed=False):
    """A film whose values span all of its bits, with texture."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    y, x = np.mgrid[:height, :width]
    values = np.round(low + (high - low) * (x * 3 + y * 2) / (width * 3 + height * 2 - 5))
    kind = ("int" if signed else "uint") + ("8" if bits <= 8 else "16")
    return np.clip(values, low, high).astype(kind)


def make_dataset(pixels, syntax=uid.ExplicitVRLittleEndian, bits=None, frame=None, **attributes):
    """A dataset of one film; `frame` replaces the encoding of its pixels."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    allocated = pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = allocated
    dataset.BitsStored = bits or allocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if syntax == uid.ExplicitVRBigEndian:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if allocated > 8 else "OB"
    if frame is None and syntax == uid.JPEGLosslessSV1:
        unsigned = pixels.view(f"u{pixels.dtype.itemsize}")
        frame = imagecodecs.ljpeg_encode(unsigned, bitspersample=allocated)
    if frame is None and syntax == uid.JPEGLSLossless:
        frame = imagecodecs.jpegls_encode(pixels.view(f"u{pixels.dtype.itemsize}"))
    if frame is None and syntax == uid.JPEG2000Lossless:
        frame = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0)
    if frame is None and syntax == uid.JPEGBaseline8Bit:
        colour = "Gray" if pixels.ndim == 2 else "RGB"
        samples = np.ascontiguousarray(np.atleast_3d(pixels))
        frame = simplejpeg.encode_jpeg(
            samples, 95, colour.upper(), "Gray" if colour == "Gray" else "444"
        )
        dataset.PhotometricInterpretation = "MONOCHROME2" if colour == "Gray" else "YBR_FULL"
    if frame is not None:
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax.is_compressed and syntax != uid.DeflatedExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def to_bytes(dataset):
    file = io.BytesIO()
    dataset.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def make_dicom(*args, **attributes):
    """The bytes of a DICOM file; see `make_dataset`."""
    return to_bytes(make_dataset(*args, **attributes))


def lut(first, entries, bits=16):
    """A look-up table as an item of a modality or VOI LUT sequence."""
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = list(entries)
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item["LUTData"].VR = "US"
    return pydicom.Sequence([item])
