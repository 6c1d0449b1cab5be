"""Weights of the BiT ResNets by their official names: shapes, random values, ``.npz`` files.

BiT is Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning",
https://arxiv.org/abs/1912.11370; REMEDIS is Azizi et al.,
https://doi.org/10.1038/s41551-023-01049-7. Nothing here needs TensorFlow.
"""

from __future__ import annotations

import dataclasses
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

Weights = dict[str, npt.NDArray[np.float32]]

ROOT_KERNEL = "resnet/root_block/standardized_conv2d/kernel"
FINAL_NORM = "resnet/group_norm"

_NPZ_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_MAGIC = {
    b"\x93NUMPY": "a single array",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file: unpack it",
    b"\x80": "a pickle, which could run any program and is never opened",
}
_LONGEST_MAGIC = 64

# The classifier of an official file; an embedding does not need it.
_HEAD = frozenset({"resnet/head/conv2d/kernel", "resnet/head/conv2d/bias"})


@dataclasses.dataclass(frozen=True)
class Unit:
    """One pre-activation bottleneck unit.

    Attributes:
      prefix: the start of its arrays' names, such as ``resnet/block2/unit01``.
      inputs: number of input channels.
      width: channels of the 3x3 convolution.
      stride: 2 in the first unit of blocks 2 to 4, else 1.
    """

    prefix: str
    inputs: int
    width: int
    stride: int

    @property
    def outputs(self) -> int:
        """The number of output channels: four times the width (https://arxiv.org/abs/1512.03385)."""
        return 4 * self.width

    @property
    def projected(self) -> bool:
        """Whether the shortcut is a 1x1 convolution, not the identity."""
        return self.stride != 1 or self.inputs != self.outputs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of its arrays by name; kernels are HWIO."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.projected:
            shapes[projection_name(self.prefix)] = (1, 1, self.inputs, self.outputs)
        for layer, size, inputs, outputs in (
            ("a", 1, self.inputs, self.width),
            ("b", 3, self.width, self.width),
            ("c", 1, self.width, self.outputs),
        ):
            prefix = f"{self.prefix}/{layer}"
            shapes[f"{norm_name(prefix)}/gamma"] = (inputs,)
            shapes[f"{norm_name(prefix)}/beta"] = (inputs,)
            shapes[kernel_name(prefix)] = (size, size, inputs, outputs)
        return shapes


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A BiT ResNet: the number of units in each of four blocks, and the width factor of all."""

    name: str
    units_per_block: tuple[int, int, int, int]
    width_factor: int

    @property
    def root_channels(self) -> int:
        """The number of channels of the 7x7 convolution at the root."""
        return 64 * self.width_factor

    @property
    def features(self) -> int:
        """The number of channels of the feature map, the length of an embedding: 2048 for 50x1."""
        return self.units()[-1].outputs

    def units(self) -> list[Unit]:
        """Return all units in the order of computation."""
        units: list[Unit] = []
        channels = self.root_channels
        for block, count in enumerate(self.units_per_block, 1):
            for number in range(1, count + 1):
                unit = Unit(
                    prefix=f"resnet/block{block}/unit{number:02d}",
                    inputs=channels,
                    width=self.root_channels * 2 ** (block - 1),
                    stride=2 if block > 1 and number == 1 else 1,
                )
                units.append(unit)
                channels = unit.outputs
        return units

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every array by its official name; kernels are HWIO."""
        shapes: dict[str, tuple[int, ...]] = {ROOT_KERNEL: (7, 7, 3, self.root_channels)}
        for unit in self.units():
            shapes.update(unit.shapes())
        shapes[f"{FINAL_NORM}/gamma"] = (self.features,)
        shapes[f"{FINAL_NORM}/beta"] = (self.features,)
        return shapes

    def parameters(self) -> int:
        """Return the number of parameters, without a classifier."""
        return sum(math.prod(shape) for shape in self.shapes().values())


ARCHITECTURES: Mapping[str, Architecture] = {
    "50x1": Architecture("50x1", (3, 4, 6, 3), 1),
    "152x2": Architecture("152x2", (3, 8, 36, 3), 2),
}

# The paper's text prints 152x2 as 52x2.
ALIASES: Mapping[str, str] = {"52x2": "152x2"}

# Height and width in pixels of the images that the REMEDIS models take.
INPUT_SIZE: Mapping[str, int] = {"path": 224, "cxr": 448}


def kernel_name(prefix: str) -> str:
    """Return the name of a convolution's kernel, such as that of ``resnet/block1/unit01/a``."""
    return f"{prefix}/standardized_conv2d/kernel"


def norm_name(prefix: str) -> str:
    """Return the start of the names of the gamma and beta that come before a convolution."""
    return f"{prefix}/group_norm"


def projection_name(unit_prefix: str) -> str:
    """Return the name of the kernel of a unit's projected shortcut."""
    return kernel_name(f"{unit_prefix}/a/proj")


def find_architecture(name: str) -> Architecture:
    """Return the architecture of a name or an alias.

    Raises:
      InputError: of kind ``bad_architecture`` when there is none.
    """
    try:
        return ARCHITECTURES[ALIASES.get(name, name)]
    except KeyError:
        known = ", ".join([*ARCHITECTURES, *ALIASES])
        raise InputError(
            Kind.BAD_ARCHITECTURE, f"no BiT architecture is called {name!r}: use one of {known}"
        ) from None


def random_weights(architecture: str, seed: int) -> Weights:
    """Draw random weights with numpy alone: the same seed gives the same on every machine.

    Kernels are normal with variance 2 / fan-in (He et al., https://arxiv.org/abs/1502.01852);
    standardisation and the group norms keep activations in range at any depth. Gammas are normal
    around 1, betas around 0, with deviation 0.1: not 0, or a black image would have no features.
    The last beta is around -1: at 0, half of the positions pass the last ReLU in every channel of
    every image, and pooled features of unlike images have a cosine of 0.96; so it is 0.85.

    Args:
      architecture: a name in `ARCHITECTURES` or `ALIASES`.
      seed: of `numpy.random.default_rng`.

    Returns:
      float32 arrays by official name.

    Raises:
      InputError: of kind ``bad_architecture``.
    """
    generator = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in find_architecture(architecture).shapes().items():
        values = generator.standard_normal(shape, np.float32)
        if name.endswith("kernel"):
            weights[name] = values * np.float32(math.sqrt(2 / math.prod(shape[:-1])))
        else:
            centre = 1 if name.endswith("gamma") else -1 if name == f"{FINAL_NORM}/beta" else 0
            weights[name] = np.float32(centre) + values * np.float32(0.1)
    return weights


def load_npz(path: str | os.PathLike[str], architecture: str) -> Weights:
    """Read the ``.npz`` of an official BiT model, without its classification head.

    Args:
      path: a local file.
      architecture: a name in `ARCHITECTURES` or `ALIASES`.

    Returns:
      float32 arrays by official name.

    Raises:
      InputError: of kind ``bad_weights`` when the file cannot be read, or an array is missing,
        has another shape, is not of finite floating-point numbers, or belongs to no layer; of
        kind ``bad_architecture``.
    """
    wanted = find_architecture(architecture)
    where = os.fspath(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (an os.PathLike too)
            start = file.read(_LONGEST_MAGIC)
    except OSError as error:
        raise InputError(Kind.BAD_WEIGHTS, f"cannot read {where}: {one_line(error)}") from error
    if not start.startswith(_NPZ_MAGIC):
        raise InputError(Kind.BAD_WEIGHTS, f"{where} is {_content(start)}, not an .npz file")
    try:
        # `allow_pickle` stays False: the file may come from anywhere.
        archive = np.load(path)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(Kind.BAD_WEIGHTS, f"{where} is a single array, not an .npz file")
        with archive:
            # A member that is no array is returned as bytes; the check of shapes names it.
            arrays = {
                name: np.asarray(archive[name]) for name in archive.files if name not in _HEAD
            }
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        words = one_line(error)
        # NumPy advises to open them all the same.
        if "allow_pickle" in words:
            words = "it holds pickled objects, which could run any program and are never opened"
        raise InputError(Kind.BAD_WEIGHTS, f"cannot read {where}: {words}") from error
    try:
        check_weights(arrays, wanted)
    except InputError as error:
        raise InputError(error.kind, f"{where}: {error.message}") from None
    return {name: arrays[name].astype(np.float32, copy=False) for name in wanted.shapes()}


def _content(start: bytes) -> str:
    """Return in words what a file is, by how it begins."""
    if not start:
        return "an empty file"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page (was the download refused?)"
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, which stands for a file that was not fetched"
    return next((what for magic, what in _MAGIC.items() if start.startswith(magic)), "other data")


def check_weights(arrays: Mapping[str, npt.NDArray[Any]], architecture: Architecture) -> None:
    """Check that each array of an architecture is there, in its shape, and no other array.

    Raises:
      InputError: of kind ``bad_weights``, naming the first array that is wrong.
    """
    shapes = architecture.shapes()
    for name, shape in shapes.items():
        if name not in arrays:
            raise InputError(Kind.BAD_WEIGHTS, f"{name} of {architecture.name} is missing")
        array = arrays[name]
        if array.shape != shape:
            raise InputError(
                Kind.BAD_WEIGHTS,
                f"{name} has shape {array.shape}, {architecture.name} needs {shape}",
            )
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise InputError(
                Kind.BAD_WEIGHTS, f"{name} ({array.dtype}) is not all finite floating-point numbers"
            )
    for name in arrays:
        if name not in shapes:
            raise InputError(Kind.BAD_WEIGHTS, f"{name} belongs to no layer of {architecture.name}")
