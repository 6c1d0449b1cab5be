"""The functions of a restored SavedModel that take a batch of images, and the choice of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from beamscope.transforms.inference.model_settings import INPUT_DTYPES
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Endpoint:
    """A function of a SavedModel with one image input, and what the SavedModel says about it.

    Attributes:
      called: ``object``, ``signature NAME`` or ``function NAME``.
      call: takes images ``[B, H, W, 3]`` of `dtype`, gives what the model answers.
      input_name: name of the input tensor.
      dtype: element type of the input, one of `INPUT_DTYPES`.
      batch_size: B where the model is bound to one, else None.
      height: H in pixels where the model is bound to one, else None; `width` likewise.
    """

    called: str
    call: Callable[[tf.Tensor], Any]
    input_name: str
    dtype: str
    batch_size: int | None
    height: int | None
    width: int | None


def choose_endpoint(
    restored: Any,
    name: str,
    *,
    signature: str | None,
    input_size: int | None,
    input_dtype: str | None,
) -> Endpoint:
    """Chooses what to call: `signature`, else the object, ``serving_default``, the only signature.

    A function that was traced several times (other sizes or dtypes, in training or not) is called
    in the first form that fits the wanted size and dtype, out of training if there is such a form.

    Args:
      restored: what `tf.saved_model.load` gave.
      name: of the model, for messages.
      signature: name of a signature, or of a function that the object has as an attribute (as the
        ``serve`` of Keras 3 exports).
      input_size: wanted height and width in pixels; None takes any.
      input_dtype: wanted dtype; None takes any.

    Raises:
      InputError: ``bad_model`` where nothing fits, naming what there is.
    """
    signatures = dict(restored.signatures)
    called, forms = _forms(restored, signatures, name, signature)
    endpoints = [endpoint for form in forms if (endpoint := _endpoint(called, *form)) is not None]
    if not endpoints:
        raise InputError(
            Kind.BAD_MODEL,
            f"model {name}: its {called} does not take one input of images "
            f"[batch, height, width, 3] but {_describe(forms)}",
        )
    fitting = [
        endpoint
        for endpoint in endpoints
        if input_dtype in (None, endpoint.dtype)
        and (input_size is None or {endpoint.height, endpoint.width} <= {None, input_size})
    ]
    if not fitting and input_dtype not in {None, *(endpoint.dtype for endpoint in endpoints)}:
        found = ", ".join(sorted({endpoint.dtype for endpoint in endpoints}))
        raise InputError(
            Kind.BAD_MODEL, f"model {name}: takes {found}, and input_dtype is {input_dtype}"
        )
    # Where only the size does not fit, the caller says so: it knows where the size comes from.
    chosen = (fitting or endpoints)[0]
    sizes = {(endpoint.height, endpoint.width) for endpoint in endpoints}
    if input_size is None and len(sizes) > 1 and (None, None) not in sizes:
        listed = ", ".join(f"{height}x{width}" for height, width in sorted(sizes, key=str))
        raise InputError(
            Kind.BAD_MODEL, f"model {name}: takes images of {listed}: choose by --input_size"
        )
    return chosen


_Form = tuple[Callable[..., Any], tuple[Any, Any]]


def _forms(
    restored: Any, signatures: dict[str, Any], name: str, wanted: str | None
) -> tuple[str, list[_Form]]:
    """What is called, with the structure of arguments of each form that it was traced in."""
    if wanted is None:
        # `callable` would not do: the function has to have been traced, too.
        traced = _traced(getattr(restored, "__call__", None))  # noqa: B004
        if traced:
            return "object", traced
        if "serving_default" in signatures:
            wanted = "serving_default"
        elif len(signatures) == 1:
            wanted = next(iter(signatures))
    if wanted in signatures:
        function = signatures[wanted]
        return f"signature {wanted}", [(function, function.structured_input_signature)]
    if wanted is not None:
        traced = _traced(getattr(restored, wanted, None))
        if traced:
            return f"function {wanted}", traced
    choices = ", ".join(sorted(signatures)) or "none"
    asked = "cannot be called itself" if wanted is None else f"has no signature {wanted!r}"
    raise InputError(Kind.BAD_MODEL, f"model {name}: {asked}; its signatures: {choices}")


def _traced(function: Any) -> list[_Form]:
    concrete = getattr(function, "concrete_functions", ())
    forms = [(function, form.structured_input_signature) for form in concrete]
    # In training (a Python True among the arguments) comes last.
    return sorted(forms, key=lambda form: any(leaf is True for leaf in tf.nest.flatten(form[1])))


def _endpoint(
    called: str, function: Callable[..., Any], arguments: tuple[Any, Any]
) -> Endpoint | None:
    leaves = tf.nest.flatten(arguments)
    inputs = [index for index, leaf in enumerate(leaves) if isinstance(leaf, tf.TypeSpec)]
    if len(inputs) != 1 or not isinstance(leaves[inputs[0]], tf.TensorSpec):
        return None
    spec = leaves[inputs[0]]
    shape = spec.shape.as_list() if spec.shape.rank is not None else [None] * 4
    if len(shape) != 4 or shape[3] not in (None, 3) or spec.dtype.name not in INPUT_DTYPES:
        return None

    def call(images: tf.Tensor) -> Any:
        args, kwargs = tf.nest.pack_sequence_as(
            arguments, [images if index == inputs[0] else leaf for index, leaf in enumerate(leaves)]
        )
        return function(*args, **kwargs)

    return Endpoint(
        called=called,
        call=call,
        input_name=spec.name or "",
        dtype=spec.dtype.name,
        batch_size=shape[0],
        height=shape[1],
        width=shape[2],
    )


def _describe(forms: Iterable[_Form]) -> str:
    """The tensors that the first form takes, such as `string [None] (examples)`."""
    specs = [leaf for form in forms for leaf in tf.nest.flatten(form[1])]
    tensors = [leaf for leaf in specs if isinstance(leaf, tf.TensorSpec)]
    described = [
        f"{leaf.dtype.name} {leaf.shape}" + (f" ({leaf.name})" if leaf.name else "")
        for leaf in tensors
    ]
    return ", ".join(dict.fromkeys(described)) or "nothing"
