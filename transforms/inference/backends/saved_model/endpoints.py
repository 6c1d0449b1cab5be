"""The functions of a restored SavedModel that take a batch of images, and the choice of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from beamscope.transforms.inference.input_shapes import ImageInput, image_inputs
from beamscope.transforms.inference.model_settings import INPUT_DTYPES, Layout
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Arguments by which a function is told whether it is being trained.
_TRAINING = ("training", "is_training", "train")


@dataclasses.dataclass(frozen=True, eq=False)
class Endpoint:
    """A function of a SavedModel with one image input, and what the SavedModel says about it.

    Attributes:
      called: ``object``, ``signature NAME`` or ``function NAME``, with the values of further
        arguments.
      call: takes images in `dtype` and in the layout of one of `readings`, and returns what the
        model answers.
      input_name: name of the input tensor.
      dtype: element type of the input, one of `INPUT_DTYPES`.
      readings: the ways to read the input's shape; never empty.
    """

    called: str
    call: Callable[[tf.Tensor], Any]
    input_name: str
    dtype: str
    readings: tuple[ImageInput, ...]

    def takes(self, size: int | None, dtype: str | None) -> bool:
        """Return whether it takes images of a size and dtype; None stands for any."""
        sides = {side for reading in self.readings for side in (reading.height, reading.width)}
        return dtype in (None, self.dtype) and (size is None or sides <= {None, size})


@dataclasses.dataclass(frozen=True)
class _Form:
    """One way to call a function: the arguments that it was traced with, and its defaults."""

    called: str
    function: Callable[..., Any]
    arguments: tuple[Any, Any]
    names: Sequence[str]
    defaults: Mapping[str, Any]

    @property
    def in_training(self) -> bool:
        return any(leaf is True for leaf in tf.nest.flatten(self.arguments))


def choose_endpoint(
    restored: Any,
    name: str,
    *,
    signature: str | None,
    input_size: int | None,
    input_dtype: str | None,
    input_layout: Layout | None = None,
    preferred_size: int | None = None,
) -> Endpoint:
    """Choose the function to call.

    It is `signature`, else the object, ``serving_default`` or the only signature: the first of
    these that takes a batch of images. A function that was traced several times (other sizes or
    dtypes, in training or not) is called in the first form that fits the wanted size and dtype,
    out of training if there is such a form. Further arguments get their defaults, and those that
    say whether the model is being trained get False.

    Args:
      restored: the object that `tf.saved_model.load` returned.
      name: of the model, for messages.
      signature: name of a signature, or of a function that the object has as an attribute (as the
        ``serve`` of Keras 3 exports).
      input_size: wanted height and width in pixels; None takes any.
      input_dtype: wanted dtype; None takes any.
      input_layout: where the channels are, where the user says it.
      preferred_size: height and width to take of several that the model has, where `input_size` is
        None.

    Raises:
      InputError: ``bad_model`` where nothing fits; the message names what there is.
    """
    groups = _groups(restored, name, signature)
    endpoints: list[Endpoint] = []
    for forms in groups:
        found = (_endpoint(form, input_layout) for form in forms)
        endpoints = [endpoint for endpoint in found if endpoint is not None]
        if endpoints:
            break
    if not endpoints and input_layout and any(_endpoint(form, None) for form in groups[0]):
        raise InputError(
            Kind.BAD_MODEL,
            f"model {name}: its {groups[0][0].called} takes {_describe(groups[0])}, which does not "
            f"have the channels where --input_layout {input_layout} says: leave the flag out",
        )
    if not endpoints:
        raise InputError(
            Kind.BAD_MODEL,
            f"model {name}: its {groups[0][0].called} does not take one batch of images "
            f"[batch, height, width, 3] but {_describe(groups[0])}: choose another by --signature "
            f"({_names(restored)}), or wrap the model (docs/models.md)",
        )
    fitting = [endpoint for endpoint in endpoints if endpoint.takes(input_size, input_dtype)]
    if not fitting and input_dtype not in {None, *(endpoint.dtype for endpoint in endpoints)}:
        found_dtypes = ", ".join(sorted({endpoint.dtype for endpoint in endpoints}))
        raise InputError(
            Kind.BAD_MODEL,
            f"model {name}: takes {found_dtypes}, and --input_dtype is {input_dtype}",
        )
    # Where only the size does not fit, the caller says so: it knows where the size comes from.
    chosen = (fitting or endpoints)[0]
    sizes = {(each.readings[0].height, each.readings[0].width) for each in endpoints}
    if input_size is None and len(sizes) > 1 and (None, None) not in sizes:
        preferred = [each for each in endpoints if each.takes(preferred_size, input_dtype)]
        if preferred_size is not None and preferred:
            return preferred[0]
        listed = ", ".join(f"{height}x{width}" for height, width in sorted(sizes, key=str))
        raise InputError(
            Kind.BAD_MODEL, f"model {name}: takes images of {listed}: choose by --input_size"
        )
    return chosen


def _groups(restored: Any, name: str, wanted: str | None) -> list[list[_Form]]:
    """Return the functions to try, in order, each in the forms that it was traced in."""
    signatures = dict(restored.signatures)
    groups = []
    if wanted is None:
        # `callable` would not do: the function has to have been traced, too.
        groups.append(_traced("object", getattr(restored, "__call__", None)))  # noqa: B004
        if "serving_default" in signatures:
            groups.append([_of_signature("serving_default", signatures["serving_default"])])
        elif len(signatures) == 1:
            groups.extend([_of_signature(*item)] for item in signatures.items())
    elif wanted in signatures:
        groups.append([_of_signature(wanted, signatures[wanted])])
    else:
        groups.append(_traced(f"function {wanted}", getattr(restored, wanted, None)))
    groups = [forms for forms in groups if forms]
    if not groups:
        asked = "cannot be called itself" if wanted is None else f"has no signature {wanted!r}"
        remedy = "choose by --signature" if restored.signatures else "wrap it (docs/models.md)"
        raise InputError(
            Kind.BAD_MODEL, f"model {name}: {asked}; its signatures: {_names(restored)}: {remedy}"
        )
    return groups


def _names(restored: Any) -> str:
    return ", ".join(sorted(restored.signatures)) or "none"


def _of_signature(name: str, function: Any) -> _Form:
    return _Form(f"signature {name}", function, function.structured_input_signature, (), {})


def _traced(called: str, function: Any) -> list[_Form]:
    concrete = getattr(function, "concrete_functions", ())
    spec = getattr(function, "function_spec", None)
    names = getattr(spec, "arg_names", None) or ()
    defaults = getattr(spec, "default_values", None) or {}
    forms = [
        _Form(called, function, form.structured_input_signature, tuple(names), dict(defaults))
        for form in concrete
    ]
    # In training (a Python True among the arguments) comes last.
    return sorted(forms, key=lambda form: form.in_training)


def _endpoint(form: _Form, layout: Layout | None) -> Endpoint | None:
    leaves = tf.nest.flatten(form.arguments)
    names = _leaf_names(form)
    inputs = [
        index
        for index, leaf in enumerate(leaves)
        if isinstance(leaf, tf.TypeSpec) and not _is_scalar(leaf)
    ]
    if len(inputs) != 1 or not isinstance(leaves[inputs[0]], tf.TensorSpec):
        return None
    further: dict[int, Any] = {}
    for index, leaf in enumerate(leaves):
        if index == inputs[0] or not isinstance(leaf, tf.TypeSpec):
            continue
        if names[index] in _TRAINING and leaf.dtype == tf.bool:
            further[index] = False
        elif form.defaults.get(names[index]) is not None:
            further[index] = form.defaults[names[index]]
        else:
            return None
    spec = leaves[inputs[0]]
    shape = spec.shape.as_list() if spec.shape.rank is not None else None
    readings = image_inputs(shape, layout)
    if not readings or spec.dtype.name not in INPUT_DTYPES:
        return None

    def call(images: tf.Tensor) -> Any:
        values = [
            images
            if index == inputs[0]
            else tf.cast(further[index], leaf.dtype)
            if index in further
            else leaf
            for index, leaf in enumerate(leaves)
        ]
        args, kwargs = tf.nest.pack_sequence_as(form.arguments, values)
        return form.function(*args, **kwargs)

    values = ", ".join(f"{names[index]}={value}" for index, value in further.items())
    return Endpoint(
        called=f"{form.called} with {values}" if values else form.called,
        call=call,
        input_name=spec.name or "",
        dtype=spec.dtype.name,
        readings=readings,
    )


def _is_scalar(spec: tf.TypeSpec) -> bool:
    return isinstance(spec, tf.TensorSpec) and spec.shape.rank == 0


def _leaf_names(form: _Form) -> list[str]:
    """Return the argument that each leaf of the arguments belongs to."""
    args, kwargs = form.arguments
    names: list[str] = []
    for position, argument in enumerate(args):
        name = form.names[position] if position < len(form.names) else str(position)
        names.extend([name] * len(tf.nest.flatten(argument)))
    # `tf.nest` goes through a dict in the order of its keys.
    for name in sorted(kwargs):
        names.extend([name] * len(tf.nest.flatten(kwargs[name])))
    return names


def _describe(forms: Iterable[_Form]) -> str:
    """Return the tensors that the forms take, such as `string [None] (examples)`."""
    specs = [leaf for form in forms for leaf in tf.nest.flatten(form.arguments)]
    tensors = [leaf for leaf in specs if isinstance(leaf, tf.TensorSpec)]
    described = [
        f"{leaf.dtype.name} {leaf.shape}" + (f" ({leaf.name})" if leaf.name else "")
        for leaf in tensors
    ]
    return ", ".join(dict.fromkeys(described)) or "nothing"
