"""The table of all kinds of problems: meaning, remedy, and the steps where each occurs.

docs/formats.md lists the kinds that become rows; a test compares it with this table.
"""

from __future__ import annotations

import enum
from typing import Literal, cast

# start: the job refuses a command line, a model or a list of inputs before anything runs.
Stage = Literal["start", "plan", "read", "embed"]


class Kind(enum.StrEnum):
    """A kind of problem. Its value is the stable word in tables and messages.

    Attributes:
      sentence: description of the problem, for users.
      remedy: what the user can do; empty if nothing helps.
      stages: the steps where it occurs. ``start`` alone means that it never becomes a row.
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
        """Return whether the problem becomes a row of ``problems.parquet``."""
        return self.stages != ("start",)

    # Command lines, outputs and runners.
    BAD_OPTION = "bad_option", "start", "a flag has an invalid value"
    UNKNOWN_FLAG = "unknown_flag", "start", "there is no such flag"
    MISSING_OPTION = "missing_option", "start", "the runner requires a flag that is not given"
    LOCAL_PATH = "local_path", "start", "the workers of a cloud job cannot see this path"
    UNKNOWN_SCHEME = "unknown_scheme", "start", "the scheme of a path is unknown"
    BAD_CONFIG = "bad_config", "start", "the runner config cannot be used"
    MISSING_RUNNER = "missing_runner", "start", "the runner has not been fetched"
    ALREADY_RUNNING = "already_running", "start", "another job is writing the same output"
    NO_GPU = "no_gpu", "start", "a GPU is required, and the model's backend sees none"
    NO_RUN = "no_run", "start", "the directory is not the output of a job"
    UNFINISHED = "unfinished", "start", "the dataset of the output is not complete"
    CLEANED = "cleaned", "start", "the finished blocks of the output were removed"
    OTHER_SETTINGS = "other_settings", "start", "the output was begun with other settings"
    DROPPED_ITEMS = (
        "dropped_items", "start", "the output holds items that are not requested now",
        "--add or --only_these",
    )  # fmt: skip
    FOREIGN_OUTPUT = "foreign_output", "start", "the output holds a dataset of unknown origin"
    OLD_OUTPUT = "old_output", "start", "beamscope 0.1 began the output"
    UNWRITABLE_OUTPUT = "unwritable_output", "start", "the output cannot be written to"
    UNWRITABLE = "unwritable", "start", "a file cannot be written"
    EXISTS = "exists", "start", "the file already exists"
    NOT_LOCAL = "not_local", "start", "the path must be on this machine"
    MISSING_PACKAGE = "missing_package", "start", "an optional package is not installed"
    # Reading a dataset, and exporting it.
    UNREADABLE_DATASET = (
        "unreadable_dataset", "start", "a file of the dataset is missing or damaged",
    )  # fmt: skip
    NO_PARQUET = "no_parquet", "start", "the dataset has no Parquet shards"
    UNKNOWN_ITEM = "unknown_item", "start", "the dataset has no such slide or film"
    NO_EMBEDDINGS = "no_embeddings", "start", "the slide or film has no embeddings"
    UNKNOWN_COLUMN = "unknown_column", "start", "the dataset has no such column"
    BAD_TABLE = "bad_table", "start", "a table of labels or scores cannot be used"
    NOT_FOR_FILMS = "not_for_films", "start", "the format is for patches of slides alone"
    # Inputs that are refused as a whole.
    NO_MATCH = "no_match", "start", "a pattern matches nothing"
    NO_IMAGE = "no_image", "start", "an input holds no image and no supported archive"
    MISSING_INPUT = "missing_input", "start", "the path does not exist"
    BAD_NAME = "bad_name", "start", "a file name is not printable Unicode", "rename the file"
    DUPLICATE_ID = "duplicate_id", "start", "two slides have the same id", "use a manifest"
    BAD_MANIFEST = "bad_manifest", "start", "the manifest cannot be used"
    BAD_COLUMN = "bad_column", "start", "a column of the user's table has a name that is taken"
    AMBIGUOUS_MASK = "ambiguous_mask", "start", "two masks fit one slide"
    UNREADABLE_CATALOG = "unreadable_catalog", "start", "the catalogue cannot be read"
    MISSING_COLUMN = "missing_column", "start", "the catalogue lacks a column"
    EMPTY_KEY = "empty_key", "start", "a row of the catalogue has no key"
    DUPLICATE_KEY = "duplicate_key", "start", "two rows of the catalogue have the same key"
    UNKNOWN_TAG = "unknown_tag", "start", "no DICOM attribute has that keyword"
    BAD_LABELS = "bad_labels", "start", "the labels cannot be used"
    BAD_SPLITS = "bad_splits", "start", "the file of splits cannot be used"
    BAD_QUERY = "bad_query", "start", "what is searched for cannot be found or compared"
    BAD_SAMPLE = "bad_sample", "start", "a sample slide cannot have these properties"
    # Models.
    BAD_MODEL = "bad_model", "start", "the model cannot be used"
    BAD_CARD = "bad_card", "start", "the model card is invalid, or of another model"
    BAD_WEIGHTS = "bad_weights", "start", "the weights do not fit the architecture"
    BAD_ARCHITECTURE = "bad_architecture", "start", "there is no such architecture"
    BAD_MODALITY = "bad_modality", "start", "there is no such modality"
    BAD_SIGNATURE = "bad_signature", "start", "the model cannot be called with these settings"
    # Of every item.
    DEFECT = (
        "defect", "plan read embed", "an unexpected error, in beamscope or in a library",
        "report the traceback in OUTPUT/.beamscope/…/faults",
    )  # fmt: skip
    CRASHES = (
        "crashes", "plan read", "the process died twice while it worked on this",
        "use a machine with more memory, or a longer --item_timeout",
    )  # fmt: skip
    # Slides.
    MISSING_FILE = "missing_file", "plan read", "the file does not exist (any more)"
    NOT_A_SLIDE = (
        "not_a_slide", "plan read", "OpenSlide does not know the format, or the file is cut off",
    )  # fmt: skip
    UNOPENABLE = "unopenable", "plan read", "the format is known, but the file cannot be opened"
    UNSUPPORTED_SLIDE = (
        "unsupported_slide", "plan", "OpenSlide may show the pixels of this TIFF wrongly",
        "save it as RGB of 8 bits a sample",
    )  # fmt: skip
    IMPOSSIBLE_HEADER = (
        "impossible_header", "plan read",
        "the header of the slide claims what its file cannot hold", "fetch the file again",
    )  # fmt: skip
    SLIDE_TOO_LARGE = (
        "slide_too_large", "plan read",
        "the slide claims more pixels, larger tiles or more patches than the limits allow",
        "a coarser --mpp or a larger --stride, where there are too many patches",
    )  # fmt: skip
    MISSING_MPP = (
        "missing_mpp", "plan", "the slide does not state its resolution",
        "give mpp in a manifest, or --assume_mpp (--add: for just these); embedded slides stay",
    )  # fmt: skip
    IMPLAUSIBLE_MPP = (
        "implausible_mpp", "plan", "the slide states an implausible resolution",
        "give mpp in a manifest, or --allow_implausible_mpp; embedded slides stay",
    )  # fmt: skip
    TOO_COARSE = (
        "too_coarse", "plan", "level 0 is more than 5 % coarser than --mpp",
        "--allow_upsampling; embedded slides stay. Or a coarser --mpp in another output",
    )  # fmt: skip
    MISSING_MASK = (
        "missing_mask", "plan", "the slide has no mask, and --tissue mask requires one",
        "give a mask, or --tissue mask_or_otsu; embedded slides stay",
    )  # fmt: skip
    BAD_MASK = "bad_mask", "plan", "the mask cannot be read"
    MASK_MISMATCH = "mask_mismatch", "plan", "the mask image has another shape than the slide"
    NOT_SERVED = (
        "not_served", "plan read", "the requested reader does not support this slide",
        "--reader auto",
    )  # fmt: skip
    REMOTE_SLIDE = "remote_slide", "start", "a remote slide needs a cache of local copies"
    CACHE_FULL = (
        "cache_full", "plan read", "there is no room for the local copy of a remote file",
        "--cache_gb",
    )  # fmt: skip
    UNSAFE_FOLDER = (
        "unsafe_folder", "plan read",
        "others can write to the folder of local copies in the temporary directory",
        "remove the folder",
    )  # fmt: skip
    UNREADABLE_REGION = "unreadable_region", "read", "the patch could not be read in two tries"
    UNREADABLE_BYTES = "unreadable_bytes", "plan read", "the disk cannot read the file"
    # Films.
    UNREADABLE_FILE = "unreadable_file", "plan read", "the file is missing or cannot be read"
    NOT_A_ZIP = "not_a_zip", "plan", "the file is not a zip archive"
    NOT_A_TAR = "not_a_tar", "plan read", "the file is not a tar archive"
    TRUNCATED_ARCHIVE = (
        "truncated_archive", "plan read", "the archive is cut off; films before that are embedded",
        "fetch the archive again",
    )  # fmt: skip
    CORRUPT_ARCHIVE = (
        "corrupt_archive", "plan read", "the archive is damaged; readable films are embedded",
        "fetch the archive again",
    )  # fmt: skip
    TRAILING_DATA = (
        "trailing_data", "plan read",
        "other bytes follow the end of the archive; films before them are embedded",
        "fetch the archive again",
    )  # fmt: skip
    SPLIT_ARCHIVE = (
        "split_archive", "plan", "the file is one volume of a split zip",
        "join the volumes into one file",
    )  # fmt: skip
    NESTED_ARCHIVE = (
        "nested_archive", "plan read", "an archive in an archive is never opened", "unpack it",
    )  # fmt: skip
    ENCRYPTED_MEMBER = "encrypted_member", "plan", "the member is encrypted"
    LINK_MEMBER = "link_member", "plan read", "the member is a link; links are never followed"
    DEVICE_MEMBER = "device_member", "plan read", "the member is a device or a pipe"
    UNSUPPORTED_COMPRESSION = (
        "unsupported_compression", "plan",
        "the member of a zip is compressed with another method than deflate",
        "zip it again with deflate",
    )  # fmt: skip
    UNSUPPORTED_MEMBER = "unsupported_member", "plan read", "the member of a tar is a sparse file"
    DUPLICATE_MEMBER = (
        "duplicate_member", "plan read", "an earlier member has the same name",
    )  # fmt: skip
    DUPLICATE_IMAGE = (
        "duplicate_image", "plan read", "an earlier member is the same film of the catalogue",
    )  # fmt: skip
    MEMBER_TOO_BIG = (
        "member_too_big", "plan read", "the member is larger than --max_member_mb",
        "--max_member_mb",
    )  # fmt: skip
    COMPRESSION_RATIO = (
        "compression_ratio", "plan read",
        "the member, or a tar.gz as a whole, exceeds --max_compression_ratio",
        "--max_compression_ratio",
    )  # fmt: skip
    CORRUPT_MEMBER = (
        "corrupt_member", "plan read", "the member's bytes do not match the archive's record of it",
    )  # fmt: skip
    NOT_A_FILM = "not_a_film", "read", "the content is not JPEG, PNG or DICOM, whatever the name"
    NOT_AN_IMAGE = "not_an_image", "read", "the content is not JPEG, PNG or TIFF, whatever the name"
    CORRUPT_IMAGE = "corrupt_image", "read", "the image is damaged, or its decoder had to repair it"
    TRUNCATED_IMAGE = (
        "truncated_image", "read", "the file is cut off", "fetch the file again",
    )  # fmt: skip
    BLANK_IMAGE = "blank_image", "read", "all of the film has one grey level"
    CORRUPT_DICOM = "corrupt_dicom", "read", "the DICOM file cannot be parsed"
    NO_PIXELS = "no_pixels", "read", "the DICOM file has no image"
    MULTI_FRAME = "multi_frame", "read", "the file has more than one frame or page"
    TOO_MANY_PIXELS = (
        "too_many_pixels", "read", "the image has more pixels than --max_pixels", "--max_pixels",
    )  # fmt: skip
    UNSUPPORTED_IMAGE = (
        "unsupported_image", "read", "the JPEG, PNG or TIFF has a kind of pixels that is not read",
        "save it as RGB of 8 bits a sample",
    )  # fmt: skip
    TOO_SMALL = (
        "too_small", "read", "the image is smaller than what --fit crop takes from it",
        "--fit resize",
    )  # fmt: skip
    UNSUPPORTED_DICOM = (
        "unsupported_dicom", "read",
        "the transfer syntax or photometric interpretation is not supported",
    )  # fmt: skip
    # Embeddings.
    NON_FINITE = "non_finite", "embed", "the model returned NaN or infinity"
