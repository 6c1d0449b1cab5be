"""Every kind of problem, in one table: what it means, what to do, and which step meets it.

docs/formats.md lists the kinds that become rows; a test holds it to this table.
"""

from __future__ import annotations

import enum
from typing import Literal, cast

# start: a command line, a model or a list of inputs is refused before anything runs.
Stage = Literal["start", "plan", "read", "embed"]


class Kind(enum.StrEnum):
    """A kind of problem; its value is the stable word that tables and messages carry.

    Attributes:
      sentence: what happened, in words for a person.
      remedy: what the user can do about it; empty where nothing can be done.
      stages: the steps that meet it. ``start`` alone means that it never becomes a row.
    """

    sentence: str
    remedy: str
    stages: tuple[Stage, ...]

    def __new__(cls, value: str, stages: str, sentence: str, remedy: str = "") -> Kind:  # noqa: D102
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.sentence = sentence
        kind.remedy = remedy
        kind.stages = cast(tuple[Stage, ...], tuple(stages.split()))
        return kind

    @property
    def becomes_row(self) -> bool:
        """Whether it ends as a row of ``problems.parquet``."""
        return self.stages != ("start",)

    # Command lines, outputs and runners.
    BAD_OPTION = "bad_option", "start", "a flag has a value that makes no sense"
    UNKNOWN_FLAG = "unknown_flag", "start", "nobody knows the flag"
    MISSING_OPTION = "missing_option", "start", "the runner needs a flag that is not given"
    LOCAL_PATH = "local_path", "start", "the workers of a cloud job cannot see this path"
    UNKNOWN_SCHEME = "unknown_scheme", "start", "no storage of that scheme is known"
    BAD_CONFIG = "bad_config", "start", "the runner config cannot be used"
    MISSING_RUNNER = "missing_runner", "start", "the runner has not been fetched"
    ALREADY_RUNNING = "already_running", "start", "a cloud job is writing the same output"
    NO_GPU = "no_gpu", "start", "a GPU is required, and TensorFlow sees none"
    NO_RUN = "no_run", "start", "the directory is not the output of a job"
    OTHER_SETTINGS = "other_settings", "start", "the output was begun with other settings"
    DROPPED_ITEMS = (
        "dropped_items", "start", "the output holds items that are not asked for now",
        "--add or --only_these",
    )  # fmt: skip
    FOREIGN_OUTPUT = "foreign_output", "start", "the output holds a dataset of unknown origin"
    OLD_OUTPUT = "old_output", "start", "an earlier version of beamscope has begun the output"
    UNWRITABLE_OUTPUT = "unwritable_output", "start", "the output cannot be written to"
    UNWRITABLE = "unwritable", "start", "a file cannot be written"
    EXISTS = "exists", "start", "the file is there already"
    NOT_LOCAL = "not_local", "start", "the path must be on this machine"
    MISSING_PACKAGE = "missing_package", "start", "an optional package is not installed"
    # Inputs that are refused as a whole.
    NO_MATCH = "no_match", "start", "a pattern matches nothing"
    NO_FILM = "no_film", "start", "an input holds no film, and no archive that can be read"
    MISSING_INPUT = "missing_input", "start", "the path does not exist"
    BAD_NAME = "bad_name", "start", "a file name is not printable Unicode", "rename the file"
    DUPLICATE_ID = "duplicate_id", "start", "two slides have the same id", "use a manifest"
    BAD_MANIFEST = "bad_manifest", "start", "the manifest cannot be used"
    AMBIGUOUS_MASK = "ambiguous_mask", "start", "two masks fit one slide"
    UNREADABLE_CATALOG = "unreadable_catalog", "start", "the catalogue cannot be read"
    MISSING_COLUMN = "missing_column", "start", "the catalogue lacks a column"
    EMPTY_KEY = "empty_key", "start", "a row of the catalogue has no key"
    DUPLICATE_KEY = "duplicate_key", "start", "two rows of the catalogue have the same key"
    UNKNOWN_TAG = "unknown_tag", "start", "no DICOM attribute has that keyword"
    BAD_SAMPLE = "bad_sample", "start", "a sample slide cannot be drawn like that"
    # Models.
    BAD_MODEL = "bad_model", "start", "the model cannot be used"
    BAD_WEIGHTS = "bad_weights", "start", "the weights do not fit the architecture"
    BAD_ARCHITECTURE = "bad_architecture", "start", "there is no such architecture"
    BAD_MODALITY = "bad_modality", "start", "there is no such modality"
    BAD_SIGNATURE = "bad_signature", "start", "the model cannot be called like that"
    # Slides.
    MISSING_FILE = "missing_file", "plan read", "there is no such file (any more)"
    NOT_A_SLIDE = "not_a_slide", "plan read", "no format that OpenSlide knows, or cut off"
    UNOPENABLE = "unopenable", "plan read", "a known format, but it cannot be opened"
    UNSUPPORTED_SLIDE = (
        "unsupported_slide", "plan",
        "a TIFF whose pixels are not certain to be shown as they are meant",
        "save it as RGB of 8 bits a sample",
    )  # fmt: skip
    MISSING_MPP = (
        "missing_mpp", "plan", "nothing says the resolution",
        "give mpp in a manifest, or --assume_mpp",
    )  # fmt: skip
    IMPLAUSIBLE_MPP = (
        "implausible_mpp", "plan", "the slide says a resolution that no slide has",
        "give mpp in a manifest, or --allow_implausible_mpp",
    )  # fmt: skip
    TOO_COARSE = (
        "too_coarse", "plan", "level 0 is more than 5 % coarser than --mpp",
        "ask for a coarser --mpp, or --allow_upsampling",
    )  # fmt: skip
    MISSING_MASK = "missing_mask", "plan", "--tissue mask, and the slide has no mask"
    BAD_MASK = "bad_mask", "plan", "the mask cannot be read"
    MASK_MISMATCH = "mask_mismatch", "plan", "the mask image has another shape than the slide"
    NOT_SERVED = (
        "not_served", "plan read", "the reader that was asked for does not serve this slide",
        "--reader auto",
    )  # fmt: skip
    REMOTE_SLIDE = "remote_slide", "start", "a remote slide needs a cache of local copies"
    CACHE_FULL = (
        "cache_full", "plan read", "no room for the local copy of a remote file", "--cache_gb",
    )  # fmt: skip
    UNSAFE_FOLDER = (
        "unsafe_folder", "plan read",
        "others can write to the folder of local copies in the temporary directory",
        "remove the folder",
    )  # fmt: skip
    UNREADABLE_REGION = "unreadable_region", "read", "this patch could not be read, tried twice"
    UNREADABLE_BYTES = "unreadable_bytes", "plan read", "the disk cannot read the file"
    # Films.
    UNREADABLE_FILE = "unreadable_file", "plan read", "the file is missing, or may not be read"
    NOT_A_ZIP = "not_a_zip", "plan", "no zip archive"
    NOT_A_TAR = "not_a_tar", "plan read", "no tar archive"
    TRUNCATED_ARCHIVE = (
        "truncated_archive", "plan read", "it breaks off; what comes before is embedded",
        "fetch the archive again",
    )  # fmt: skip
    CORRUPT_ARCHIVE = (
        "corrupt_archive", "plan read", "it is damaged; what can be read is embedded",
        "fetch the archive again",
    )  # fmt: skip
    TRAILING_DATA = (
        "trailing_data", "plan read",
        "bytes follow its end that are no archive; what comes before is embedded",
        "fetch the archive again",
    )  # fmt: skip
    SPLIT_ARCHIVE = (
        "split_archive", "plan", "one volume of a split zip", "join its volumes to one file",
    )  # fmt: skip
    NESTED_ARCHIVE = (
        "nested_archive", "plan read", "an archive in an archive: never opened", "unpack it",
    )  # fmt: skip
    ENCRYPTED_MEMBER = "encrypted_member", "plan", "encrypted"
    LINK_MEMBER = "link_member", "plan read", "a link; never followed"
    DEVICE_MEMBER = "device_member", "plan read", "a device or a pipe"
    UNSUPPORTED_COMPRESSION = (
        "unsupported_compression", "plan",
        "compressed in a zip by another method than deflate", "zip it again with deflate",
    )  # fmt: skip
    UNSUPPORTED_MEMBER = "unsupported_member", "plan read", "a sparse file in a tar"
    DUPLICATE_MEMBER = "duplicate_member", "plan read", "the second of two members of one name"
    DUPLICATE_IMAGE = (
        "duplicate_image", "plan read", "the second member that is one film of the catalogue",
    )  # fmt: skip
    MEMBER_TOO_BIG = (
        "member_too_big", "plan read", "more than --max_member_mb", "--max_member_mb",
    )  # fmt: skip
    COMPRESSION_RATIO = (
        "compression_ratio", "plan read",
        "more than --max_compression_ratio; of a tar.gz as a whole", "--max_compression_ratio",
    )  # fmt: skip
    CORRUPT_MEMBER = "corrupt_member", "plan read", "not the bytes that the archive promised"
    NOT_A_FILM = "not_a_film", "read", "neither JPEG, PNG nor DICOM, whatever its name"
    CORRUPT_IMAGE = "corrupt_image", "read", "damaged, or mended by its decoder"
    TRUNCATED_IMAGE = (
        "truncated_image", "read", "the file is cut off", "fetch the file again",
    )  # fmt: skip
    BLANK_IMAGE = "blank_image", "read", "all of the film is one grey"
    CORRUPT_DICOM = "corrupt_dicom", "read", "a DICOM file that cannot be parsed"
    NO_PIXELS = "no_pixels", "read", "a DICOM file without an image"
    MULTI_FRAME = "multi_frame", "read", "more than one frame"
    TOO_MANY_PIXELS = "too_many_pixels", "read", "more than --max_pixels", "--max_pixels"
    UNSUPPORTED_IMAGE = "unsupported_image", "read", "a JPEG or PNG of pixels that are no film's"
    UNSUPPORTED_DICOM = (
        "unsupported_dicom", "read",
        "a transfer syntax or photometric interpretation that is not decoded",
    )  # fmt: skip
    # Embeddings.
    NON_FINITE = "non_finite", "embed", "the model answered NaN or infinity"
