"""A graph without matrix products in fp32, which TensorRT-RTX cannot compile for Turing (SM75).

It says "FP32 GEMM is not supported" there, yet takes convolutions in fp32; a product is a 1x1 convolution whose kernel
is the second factor.
"""

from stif_core.runtime.engine.graph import Graph


def without_fp32_products(graph: Graph) -> bytes:
    """The ONNX graph, its batch fixed at 1, every ``MatMul`` of fp32 as a ``Conv``; the other nodes as they were.

    With A (1, N, K) and B (1, K, M): the convolution of A^T as (1, K, N, 1) with the kernel B^T as (M, K, 1, 1) is
    (A B)^T as (1, M, N, 1).

    Raises:
        ValueError: The package onnx is missing, or the graph has another batch.
    """
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ModuleNotFoundError:
        raise ValueError("building for SM75 needs the package onnx: pip install onnx") from None
    import numpy as np

    model = onnx.load(graph.path)
    for value in [*model.graph.input, *model.graph.output]:
        batch = value.type.tensor_type.shape.dim[0]
        if batch.dim_value > 1:
            raise ValueError(f"{graph.path} takes {batch.dim_value} crops at a time; engines for SM75 take 1")
        batch.dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    half = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}

    column = "stif_column_axis"
    nodes = []
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[0] in half:
            nodes.append(node)
            continue
        a, b, out = node.input[0], node.input[1], node.output[0]
        nodes += [
            helper.make_node("Transpose", [a], [f"{out}_a"], perm=[0, 2, 1]),
            helper.make_node("Unsqueeze", [f"{out}_a", column], [f"{out}_image"]),
            helper.make_node("Transpose", [b], [f"{out}_b"], perm=[2, 1, 0]),
            helper.make_node("Unsqueeze", [f"{out}_b", column], [f"{out}_kernel"]),
            helper.make_node("Conv", [f"{out}_image", f"{out}_kernel"], [f"{out}_conv"]),
            helper.make_node("Squeeze", [f"{out}_conv", column], [f"{out}_product"]),
            helper.make_node("Transpose", [f"{out}_product"], [out], perm=[0, 2, 1]),
        ]
    model.graph.initializer.append(numpy_helper.from_array(np.array([3], np.int64), column))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    return model.SerializeToString()
