"""A frozen graph in bfloat16 or float16, by TensorFlow's own automatic mixed precision.

Grappler decides for each operation, by TensorFlow's lists of what is safe: convolutions and matrix
products in the lower precision, sums and means in float32.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from tensorflow.core.protobuf import (
    config_pb2,
    device_properties_pb2,
    meta_graph_pb2,
    rewriter_config_pb2,
)
from tensorflow.python.grappler import cluster, tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

from beamscope.transforms.inference.backends.saved_model.freezing import FrozenGraph
from beamscope.transforms.inference.model_settings import Precision

# Of Grappler's, with the kind of device that it wants to see.
_PASSES: dict[Precision, tuple[str, str]] = {
    "bfloat16": ("auto_mixed_precision_onednn_bfloat16", "CPU"),
    "float16": ("auto_mixed_precision", "GPU"),
}


def lowered(frozen: FrozenGraph, precision: Precision) -> FrozenGraph:
    """Return the graph with casts to a lower precision; its input and output keep their dtypes.

    Raises:
      ValueError: TensorFlow found nothing that it could lower.
    """
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph, name="")
    meta_graph = export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    fetched = meta_graph_pb2.CollectionDef()
    fetched.node_list.value.append(frozen.embeddings)
    meta_graph.collection_def["train_op"].CopyFrom(fetched)

    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    name, device = _PASSES[precision]
    options.optimizers.append(name)
    options.min_graph_nodes = -1  # Or graphs of less than four nodes would stay as they are.
    options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewritten = tf_optimizer.OptimizeGraph(config, meta_graph, cluster=_cluster(device))

    dtype = tf.as_dtype(precision).as_datatype_enum
    if not any(node.op == "Cast" and node.attr["DstT"].type == dtype for node in rewritten.node):
        raise ValueError(f"no operation of the model can be computed in {precision}")
    return dataclasses.replace(frozen, graph=rewritten)


def _cluster(device: str) -> cluster.Cluster:
    """A machine on paper, so that the graph becomes the same wherever it is rewritten."""
    # Compute capability 7.0 is the first with units for float16, and what Grappler asks for.
    properties = device_properties_pb2.DeviceProperties(
        type=device, environment={"architecture": "7.0"} if device == "GPU" else {}
    )
    named = device_properties_pb2.NamedDevice(
        name=f"/job:localhost/replica:0/task:0/device:{device}:0", properties=properties
    )
    return cluster.Cluster(devices=[named])
