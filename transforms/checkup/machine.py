"""Check this machine: packages, GPUs, codecs, OpenSlide, memory and disk."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from beamscope.transforms.checkup.checks import Check
from beamscope.transforms.inference.backends.registry import BACKENDS
from beamscope.transforms.inference.compiled_cache import BOUND_VARIABLE, compiled_cache
from beamscope.transforms.inference.onnx_sessions import (
    import_onnxruntime,
    onnxruntime_gpus,
    onnxruntime_is_installed,
)
from beamscope.transforms.inference.openvino_model import openvino_is_installed
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.registry import READERS
from beamscope.transforms.storage.own_folder import make_own, own_folder

# Of beamscope's requirements, the modules that are imported when a job runs.
_MODULES = {
    "apache-beam": "apache_beam", "numpy": "numpy", "opencv-python-headless": "cv2",
    "openslide-python": "openslide", "pyarrow": "pyarrow", "pydicom": "pydicom",
    "imagecodecs": "imagecodecs", "simplejpeg": "simplejpeg", "tensorflow": "tensorflow",
    "tfx-bsl": "tfx_bsl",
}  # fmt: skip
_OLDEST, _NEWEST = (3, 11), (3, 13)
# A BiT ResNet-50x1 with two blocks of pixels takes 3 GB; a slide that OpenSlide alone reads is
# copied, and slides have 1 to 5 GB.
_LEAST_MEMORY, _LITTLE_MEMORY = 2e9, 4e9
# Of control groups, version 2 and 1; without a limit they hold "max" or a huge number.
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
_LEAST_DISK, _LITTLE_DISK = 1e9, 20e9


def machine_checks() -> list[Check]:
    """Return the checks of this machine. A check that fails in a way of its own is a failed one."""
    checks: Sequence[tuple[str, Callable[[], Check]]] = (
        ("python", python_check),
        ("packages", packages_check),
        ("gpus", gpus_check),
        ("compilers", compilers_check),
        ("onnx", onnx_check),
        ("codecs", codecs_check),
        ("openslide", openslide_check),
        ("memory", memory_check),
        ("disk", disk_check),
        ("compiled", compiled_check),
    )
    found = []
    for name, check in checks:
        try:
            found.append(check())
        # Whatever a library raises when it is broken, the other checks must still be made.
        except Exception as error:  # noqa: BLE001
            reason = f"{type(error).__name__}: {one_line(error)}"
            found.append(Check(name, "failed", reason, "install beamscope anew"))
    return found


def python_check() -> Check:
    """Check the version of Python."""
    version = platform.python_version()
    if _OLDEST <= sys.version_info[:2] <= _NEWEST:
        return Check("python", "ok", f"{version} on {platform.system()} {platform.machine()}")
    wanted = " to ".join(".".join(map(str, one)) for one in (_OLDEST, _NEWEST))
    return Check("python", "failed", version, f"use Python {wanted}")


def packages_check() -> Check:
    """Check that the packages of a job can be imported, and name their versions."""
    versions, broken = [], []
    for package, module in _MODULES.items():
        try:
            if module == "tensorflow":
                BACKENDS.get("saved_model").start()
            else:
                importlib.import_module(module)
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except Exception as error:  # noqa: BLE001
            broken.append(f"{package}: {one_line(error)}")
    if broken:
        return Check("packages", "failed", "; ".join(broken), "pip install beamscope anew")
    return Check("packages", "ok", ", ".join(versions))


def gpus_check() -> Check:
    """Name the GPUs that the backends see."""
    seen = []
    for backend in BACKENDS:
        seen += backend.gpus()
    if seen:
        return Check("gpus", "ok", ", ".join(dict.fromkeys(seen)))
    return Check(
        "gpus", "note", "none is seen: the processor computes",
        "for one, install a driver and the extra gpu",
    )  # fmt: skip


def compilers_check() -> Check:
    """Name the compilers that can make a SavedModel faster here."""
    compilers = BACKENDS.get("saved_model").compilers
    able = [one.name for one in compilers if one.missing("float32") is None]
    lacking = [f"{one.name}: {one.missing('float32')}" for one in compilers if one.name not in able]
    if "openvino" in able or not lacking:
        return Check("compilers", "ok", ", ".join(able))
    return Check(
        "compilers", "note", f"{', '.join(able)}; {'; '.join(lacking)}",
        "the extra cpu embeds up to twice as fast on processors",
    )  # fmt: skip


def onnx_check() -> Check:
    """Name what reads ONNX models here."""
    readers = []
    if openvino_is_installed():
        readers.append(f"OpenVINO {importlib.metadata.version('openvino')}")
    if onnxruntime_is_installed():
        runtime = import_onnxruntime()
        where = "on a GPU" if onnxruntime_gpus() else "on the processor"
        readers.append(f"onnxruntime {runtime.__version__} {where}")
        return Check("onnx", "ok", ", ".join(readers))
    if readers:
        return Check(
            "onnx", "note", f"{readers[0]} alone: nothing checks its answers",
            "install the extra onnx to use ONNX models",
        )  # fmt: skip
    return Check(
        "onnx", "note", "nothing reads ONNX models", "install the extras cpu and onnx to use them"
    )


def codecs_check() -> Check:
    """Check that JPEG, JPEG 2000, JPEG-LS and PNG are decoded to what was encoded."""
    import imagecodecs
    import simplejpeg

    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    lossless = {
        "JPEG 2000": (imagecodecs.jpeg2k_encode, imagecodecs.jpeg2k_decode),
        "JPEG-LS": (imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        "PNG": (imagecodecs.png_encode, imagecodecs.png_decode),
    }
    good: list[str] = []
    bad: list[str] = []
    for name, (encode, decode) in lossless.items():
        same = np.array_equal(decode(encode(image)), image)
        (good if same else bad).append(name)
    grey = np.full((64, 64, 3), 128, np.uint8)
    decoded = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(grey, quality=95))
    (good if np.abs(decoded.astype(int) - 128).max() <= 2 else bad).append("JPEG")
    if bad:
        text = f"{', '.join(bad)} decoded to other pixels"
        return Check("codecs", "failed", text, "install imagecodecs and simplejpeg anew")
    return Check("codecs", "ok", ", ".join(good))


def openslide_check() -> Check:
    """Check that OpenSlide opens a slide that is written for it, and reads its pixels."""
    import openslide
    import tifffile

    buffer = io.BytesIO()
    pixels = np.full((256, 256, 3), 200, np.uint8)
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(pixels, tile=(128, 128), photometric="rgb")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        path.write_bytes(buffer.getvalue())
        slide = READERS.get("openslide").open_to_plan(str(path), cache=None)
        if isinstance(slide, NotServed):
            return Check("openslide", "failed", slide.reason, "install openslide-bin")
        seen, _ = slide.read_area(0, 0, 0, 256, 256)
    version = openslide.__library_version__
    if np.array_equal(seen, pixels):
        return Check("openslide", "ok", f"{version} reads a TIFF slide")
    return Check("openslide", "failed", f"{version} reads wrong pixels", "install openslide-bin")


def memory_check() -> Check:
    """Check the memory that this process may use."""
    limit = _memory_limit()
    text = f"{limit / 1e9:.1f} GB for this process"
    if limit < _LEAST_MEMORY:
        return Check("memory", "failed", text, f"a job needs {_LEAST_MEMORY / 1e9:g} GB at least")
    if limit < _LITTLE_MEMORY:
        return Check("memory", "note", text, "give a smaller --block_size and --batch_size")
    return Check("memory", "ok", text)


def disk_check() -> Check:
    """Check the disk for local copies of remote slides, where a job puts them by default."""
    folder = own_folder("slides")
    free = shutil.disk_usage(folder.parent).free
    text = f"{free / 1e9:.1f} GB free in {folder.parent} for copies of remote slides"
    if free < _LEAST_DISK:
        return Check("disk", "failed", text, "free some, or give another --cache_dir")
    if free < _LITTLE_DISK:
        return Check("disk", "note", text, "give another --cache_dir if slides are remote")
    return Check("disk", "ok", text)


def compiled_check() -> Check:
    """Say where compiled models are kept, how many there are, and how large they may get."""
    cache = compiled_cache()
    place = f"{cache.directory} (bound: {BOUND_VARIABLE})"
    if not cache.max_bytes:
        return Check("compiled", "note", f"{BOUND_VARIABLE} is 0: models are compiled each time")
    try:
        if cache.directory.exists():
            make_own(cache.directory)
    except InputError as error:
        return Check(
            "compiled", "note", f"{error.message}; until then models are compiled each time",
            "remove the folder, or give another in BEAMSCOPE_CACHE",
        )  # fmt: skip
    sizes = cache.sizes()
    used = f"{sum(sizes.values()) / 1e9:.2f} of {cache.max_bytes / 1e9:g} GB"
    return Check("compiled", "ok", f"{len(sizes)} models, {used} in {place}")


def _memory_limit() -> int:
    """Return the bytes of memory of the machine, or of the container where it has fewer."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text()))
    return total
