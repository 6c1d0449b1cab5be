"""Models as people have them that no backend opens, known by their names: what to do with them."""

from __future__ import annotations

import re

_KERAS = "is a file of Keras: load it in Python, export it by model.export(DIR), and give DIR"
_TORCH = (
    "holds weights of PyTorch, not a network: build the model in Python, load the weights and "
    "export it to ONNX"
)
_ARCHIVE = "is an archive: unpack it, and give the directory that has saved_model.pb"
_DOWNLOAD = "download the model first, and give the local directory"

# The first whose pattern fits the end of a name, in lower case, has it.
_BY_NAME: tuple[tuple[str, str], ...] = (
    (r"\.(zip|7z|rar|tar|tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz|gz|xz|bz2|zst)", _ARCHIVE),
    (
        r"\.weights\.h5",
        "holds weights without a network: build the model in Keras, call "
        "model.load_weights(FILE) and model.export(DIR), and give DIR",
    ),
    (r"\.(h5|hdf5|keras)", _KERAS),
    (
        r"\.tflite",
        "is a file of TensorFlow Lite, from which there is no way back: export the model that it "
        "was made from as a SavedModel or to ONNX",
    ),
    (r"\.(pt|pth|pt2|safetensors)|pytorch_model\.bin", _TORCH),
    (
        r"\.ckpt|\.ckpt(-\d+)?\.(index|meta|data-\d+-of-\d+)",
        "is a checkpoint, weights without a network: build the model in Python, load the weights "
        "and export it, a SavedModel from TensorFlow or to ONNX from PyTorch",
    ),
    (r"saved_model\.(pb|pbtxt)", "is a part of a SavedModel: give the directory that it lies in"),
    (
        r"\.(pb|pbtxt)",
        "is a graph without the other files of a SavedModel: import it in TensorFlow by "
        "tf.compat.v1.wrap_function, save it by tf.saved_model.save, and give the directory",
    ),
    (
        r"\.(mlpackage|mlmodel)",
        "is a model of Core ML: export the model that it was made from as a SavedModel or to ONNX",
    ),
    (
        r"\.(engine|plan|trt)",
        "is an engine of TensorRT, made for one GPU: export the model that it was made from as a "
        "SavedModel or to ONNX",
    ),
    (
        r"\.npz",
        "holds weights without a network: those of BiT become a model by `beamscope make-model "
        "--weights FILE`",
    ),
    (r"\.(pkl|pickle|joblib)", "is a Python pickle: export the model as a SavedModel or to ONNX"),
    (
        r"\.(xml|bin|gguf|mnn|ncnn|caffemodel|ptl)",
        "is of another program than TensorFlow and ONNX: export the model that it was made from "
        "as a SavedModel or to ONNX",
    ),
    (r"\.msgpack", "holds weights of Flax: export the model by jax2tf as a SavedModel"),
)
_COMPILED = tuple((re.compile(rf"({pattern})$"), remedy) for pattern, remedy in _BY_NAME)
# What stands before an address of a hub, and whose hub it is.
_HUB = re.compile(
    r"(https?://(www\.)?(tfhub\.dev|kaggle\.com/models|huggingface\.co|hf\.co)/|hf://|hf[-_]hub:"
    r"|timm:|kaggle://)",
    re.IGNORECASE,
)
_WEB = re.compile(r"(https?|ftp)://", re.IGNORECASE)
_TORCH_HUB = re.compile(r"(hf|timm|https?://(www\.)?(huggingface|hf)\.)", re.IGNORECASE)
# `owner/name`, as Hugging Face calls its models.
_OWNER_AND_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# What stands before the equals sign is no name of a column.
_LIKE_A_NAME = re.compile(r"[^/\\=]+=.")


def address_remedy(uri: str) -> str | None:
    """Return what to do with an address of a hub or of the web; None for what is none."""
    if _HUB.match(uri):
        then = " (of PyTorch: export it to ONNX)" if _TORCH_HUB.match(uri) else ""
        return f"is an address of a hub, and beamscope fetches from none: {_DOWNLOAD}{then}"
    if _WEB.match(uri):
        return f"is an address of the web: {_DOWNLOAD}"
    return None


def file_remedy(uri: str) -> str | None:
    """Return what to do with a file that is no model, by its name; None where it may be one."""
    name = re.split(r"[/\\]", uri.rstrip("/\\"))[-1].lower()
    for pattern, remedy in _COMPILED:
        if pattern.search(name):
            return f"{remedy} (docs/models.md)"
    return None


def missing_remedy(uri: str) -> str:
    """Return a hint to add where nothing lies at a local path; empty for most."""
    if uri.startswith("~"):
        return "; ~ stands for nothing behind = or in quotes: use $HOME"
    if _LIKE_A_NAME.match(uri):
        return "; NAME of NAME=MODEL has only letters, digits and _"
    if not _OWNER_AND_NAME.fullmatch(uri):
        return ""
    return f"; a name of a hub, such as timm/NAME, is not looked up: {_DOWNLOAD}"
