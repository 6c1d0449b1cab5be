"""Let OpenVINO read a function of TensorFlow: the graph by its front end, the weights from here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from beamscope.transforms.heap import return_freed_memory
from beamscope.transforms.inference.backends.saved_model.freezing import node_name
from beamscope.transforms.inference.backends.saved_model.weight_folding import fold_weights
from beamscope.transforms.inference.openvino_model import import_openvino
from beamscope.transforms.storage.scratch import scratch_prefix


def read_function(concrete: Any) -> Any:
    """Return a concrete function as an `openvino.Model`, its variables as constants.

    Weights that are computed from weights (standardised convolutions, folded norms) are computed
    once, here. The time of OpenVINO's front end grows with the square of the number of nodes, so it
    gets none of those.

    Raises:
      ValueError: as `fold_weights`.
      Exception: of any kind where TensorFlow or OpenVINO cannot.
    """
    openvino = import_openvino()
    from openvino import opset13 as ops
    from openvino._offline_transformations import apply_moc_transformations

    folded = fold_weights(concrete)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(folded.graph.SerializeToString())
        model = openvino.Core().read_model(path)
    weights = folded.weights
    for parameter in list(model.get_parameters()):
        name = node_name(parameter.get_friendly_name())
        if name in weights:
            constant = ops.constant(np.asarray(weights.pop(name)))
            for reader in parameter.output(0).get_target_inputs():
                reader.replace_source_output(constant.output(0))
            model.remove_parameter(parameter)
    return_freed_memory()
    model.validate_nodes_and_infer_types()
    # What OpenVINO itself does where it converts a model: the weights are turned once.
    apply_moc_transformations(model, cf=True)
    return model
