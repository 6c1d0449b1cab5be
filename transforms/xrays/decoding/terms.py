"""The words that two attributes of a DICOM may leave it with, so that free text never does.

A code string of 16 letters has room for a name. So what leaves a file is a word of a closed list.
"""

from __future__ import annotations

import pydicom

from beamscope.transforms.xrays.decoding import attributes

# What stands for any other text.
OTHER = "OTHER"

# DICOM PS3.3, C.8.1.1 (CR Series) and C.8.11.5 (DX Positioning).
_FILM_VIEWS = frozenset({"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"})
# DICOM PS3.3, C.8.11.7 (Mammography Image), by the abbreviations of CID 4014.
_MAMMOGRAPHY_VIEWS = frozenset({
    "ML", "MLO", "LM", "LMO", "CC", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM",
})  # fmt: skip
# Of the films of MIMIC-CXR, which the standard does not define and which name a view as well.
_COLLECTION_VIEWS = frozenset({
    "LATERAL", "LAT", "LAO", "RAO", "LPO", "RPO", "AP AXIAL", "AP LLD", "AP RLD", "PA LLD",
    "PA RLD", "XTABLE LATERAL", "SWIMMERS",
})  # fmt: skip
VIEW_POSITIONS = _FILM_VIEWS | _MAMMOGRAPHY_VIEWS | _COLLECTION_VIEWS

# DICOM PS3.3, C.7.3.1.1.1, the retired ones at the end.
MODALITIES = frozenset({
    "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CFM", "CR", "CT", "CTPROTOCOL", "DG", "DMS",
    "DOC", "DX", "ECG", "EEG", "EMG", "EOG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL",
    "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP",
    "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PLAN", "POS", "PR", "PT", "PX",
    "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD",
    "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG",
    "US", "VA", "XA", "XAPROTOCOL", "XC", "AS", "CD", "CF", "CP", "CS", "DD", "DF", "DM", "DS",
    "EC", "FA", "FS", "LP", "MA", "MS", "OPR", "ST", "VF",
})  # fmt: skip


def term(dataset: pydicom.Dataset, keyword: str, terms: frozenset[str]) -> str | None:
    """Return the value of an attribute where it is one of some words.

    Returns:
      the word, in capitals; `OTHER` for anything else; None where the attribute is missing or
      empty.
    """
    if attributes.is_empty(dataset, keyword):
        return None
    found = attributes.code(dataset, keyword)
    return found if found in terms else OTHER
