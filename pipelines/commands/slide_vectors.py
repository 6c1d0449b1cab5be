"""`beamscope slide-vectors`: write one vector for each slide of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from beamscope._version import __version__
from beamscope.pipelines.options.command_line import Parser, place
from beamscope.pipelines.terminal.quiet import import_tensorflow, quiet
from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.inference.model_files import local_model, model_digest
from beamscope.transforms.inference.onnx_files import onnx_file
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slide_vectors.bag_models import BagModel, load_bag_model, mean
from beamscope.transforms.slide_vectors.slide_vectors import NAME, write_slide_vectors
from beamscope.transforms.storage import files

NOT_ALL = 3


def run(argv: Sequence[str]) -> int:
    """Write the vectors that a command line asks for; return 3 if a slide was left out.

    Raises:
      InputError: a flag is wrong, or the dataset or the model cannot be used.
    """
    parser = Parser(
        prog="beamscope slide-vectors",
        description=f"Write one vector for each slide to OUTPUT/{NAME}: the mean of its patches, "
        "or what a model makes of its bag of embeddings.",
        examples=(
            "beamscope slide-vectors OUTPUT",
            "beamscope slide-vectors OUTPUT --model slide_encoder.onnx",
        ),
    )
    parser.add_argument(
        "dataset", metavar="OUTPUT", type=place("OUTPUT"), help="output directory of a slide job"
    )
    parser.add_argument(
        "--model", metavar="DIR|FILE.onnx", type=place("--model"),
        help="SavedModel or ONNX model from embeddings [N, D] or [1, N, D], and coordinates [N, 2] "
        "in level-0 pixels if it wants them, to one vector (default: the mean)",
    )  # fmt: skip
    parser.add_argument(
        "--embedding", metavar="COLUMN",
        help="the column of embeddings, if the dataset has several",
    )  # fmt: skip
    args = parser.parse_args(list(argv))
    quiet()
    dataset = open_dataset(args.dataset)
    if dataset.table_name != "slides":
        raise InputError(
            Kind.NOT_FOR_FILMS, f"{args.dataset}: is a dataset of {dataset.table_name}, not slides"
        )
    column = dataset.embedding_column(args.embedding)
    model, metadata = _model(dataset, column, args.model)
    with (
        files.refusals(Kind.UNWRITABLE_OUTPUT),
        tqdm(total=len(dataset.ids), unit=" slides", leave=False, disable=None) as bar,
    ):
        length, left_out = write_slide_vectors(dataset, column, model, metadata, bar.update)
    slides = len(dataset.ids) - len(left_out)
    print(f"  vectors   {slides:,} slides of {length:,} numbers: {files.join(args.dataset, NAME)}")
    if left_out:
        print(f"  left out  {len(left_out):,} slides whose vector is not finite: "
              + ", ".join(left_out[:5]))  # fmt: skip
    return NOT_ALL if left_out else 0


def _model(dataset: Dataset, column: str, uri: str | None) -> tuple[BagModel, dict[str, str]]:
    """Return the model, and the metadata that says what it was."""
    about = {"beamscope.version": __version__, "beamscope.column": column}
    if uri is None:
        return mean, {**about, "beamscope.pooling": "mean"}
    features = dataset.shards[0].schema.field(column).type.list_size
    path = local_model(uri)
    if onnx_file(path) is None:
        import_tensorflow()
    model = load_bag_model(path, features, uri)
    return model, {
        **about,
        "beamscope.pooling": "model",
        "beamscope.model_digest": model_digest(path),
    }
