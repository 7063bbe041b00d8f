"""Operations that inference needs: a TensorFlow graph is a program, and may hold others that write and read files.

What is not listed here is refused before TensorFlow sees the graph. The list allows arithmetic, shapes, images in
memory and control flow; files, decoders, sockets, queues, datasets, prints and Python stand outside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tracker.core.tensorflow import import_runtime

_ARITHMETIC = """
Abs AccumulateNV2 Acos Acosh Add AddN AddV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh BesselI0e BesselI1e
BitwiseAnd BitwiseOr BitwiseXor Bitcast Cast Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Cumprod Cumsum
CumulativeLogsumexp Digamma Div DivNoNan Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual
Imag Inv Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr Maximum
Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Pow Real RealDiv Reciprocal RightShift Rint Round Rsqrt Sigmoid
Sign Sin Sinh Sqrt Square SquaredDifference Sub Tan Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy
"""
_REDUCTIONS = """
All Any ApproxTopK ArgMax ArgMin Bincount Bucketize DenseBincount EuclideanNorm HistogramFixedWidth InTopK InTopKV2
L2Loss Max Mean Min NthElement Prod SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Sum TopK TopKV2 Unique
UniqueV2 UniqueWithCounts UniqueWithCountsV2 UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
UnsortedSegmentSum
"""
_SHAPES = """
BatchToSpace BatchToSpaceND BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset ConcatV2 Const
DataFormatDimMap DataFormatVecPermute DepthToSpace Diag DiagPart DynamicPartition DynamicStitch EnsureShape ExpandDims
Fill Gather GatherNd GatherV2 GuaranteeConst Identity IdentityN InvertPermutation LinSpace ListDiff MatrixBandPart
MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2
MatrixSetDiagV3 MirrorPad NoOp OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Placeholder
PlaceholderV2 PlaceholderWithDefault PreventGradient Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll
ScatterNd ScatterNdNonAliasingAdd Select SelectV2 Shape ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND
SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice TensorScatterAdd TensorScatterMax TensorScatterMin
TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unpack UnravelIndex Where ZerosLike
"""
_NETWORKS = """
AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM
BlockLSTMV2 Cholesky Conv Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInput Conv3DBackpropInputV2 Cross
DepthwiseConv2dNative Dequantize Dilation2D Einsum Elu FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
FakeQuantWithMinMaxVarsPerChannel FractionalAvgPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D
FusedResizeAndPadConv2D GRUBlockCell LRN LSTMBlockCell LeakyRelu LogSoftmax Lu MatMul MatrixDeterminant MatrixInverse
MatrixSolve MatrixSquareRoot MatrixTriangularSolve MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Qr
QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
QuantizeDownAndShrinkRange QuantizeV2 QuantizedAdd QuantizedAvgPool QuantizedBiasAdd QuantizedConcat
QuantizedConcatV2 QuantizedConv2D QuantizedDepthwiseConv2D QuantizedMatMul QuantizedMaxPool QuantizedMul
QuantizedRelu QuantizedRelu6 QuantizedReshape QuantizedResizeBilinear Relu Relu6 RequantizationRange Requantize
SelfAdjointEigV2 Selu Softmax Softplus Softsign SparseMatMul SparseSoftmaxCrossEntropyWithLogits
SoftmaxCrossEntropyWithLogits Svd FFT FFT2D IFFT IFFT2D RFFT RFFT2D IRFFT IRFFT2D SparseTensorDenseMatMul SparseToDense
_FusedBatchNormEx _FusedConv2D _FusedDepthwiseConv2dNative _FusedMatMul
"""
_IMAGES = """
AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize DrawBoundingBoxes
DrawBoundingBoxesV2 ExtractGlimpse ExtractGlimpseV2 ExtractImagePatches GenerateBoundingBoxProposals HSVToRGB
ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps RGBToHSV ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate
"""
_CONTROL = """
Assert Case CheckNumerics CheckNumericsV2 ControlTrigger EmptyTensorList Enter Exit FakeParam If LoopCond Merge
NextIteration PartitionedCall RefEnter RefExit RefIdentity RefMerge RefNextIteration RefSwitch StatefulPartitionedCall
StatelessCase StatelessIf StatelessWhile Switch TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3
TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3
TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem TensorListLength
TensorListPopBack TensorListPushBack TensorListReserve TensorListResize TensorListScatterV2 TensorListSetItem
TensorListSplit TensorListStack While
"""
INFERENCE = frozenset(" ".join((_ARITHMETIC, _REDUCTIONS, _SHAPES, _NETWORKS, _IMAGES, _CONTROL)).split())
"""Names of the operations that a graph may hold."""

MOST_OUTPUTS = 10_000
"""Of one node: a damaged file may claim any number."""
REMEDY = "export an inference graph without them, or give --unsafe where you trust whoever made the file"


def refused(graph_def: Any, nodes: Iterable[Any] | None = None, also: Iterable[str] = ()) -> list[str]:
    """Operations of a graph, its branches and functions that inference does not need, each as `WriteFile (node NAME)`.

    Parameters
    ----------
    graph_def : GraphDef
        The graph, its library of functions included.
    nodes : iterable of NodeDef, optional
        Those that will run, with the functions that they call; by default every node and every function.
    also : iterable of str
        Operations allowed besides `INFERENCE`.
    """
    import_runtime()
    from tensorflow.python.framework import op_def_registry

    functions = {f.signature.name: f for f in graph_def.library.function}
    # A function named like an operation would leave open which of the two runs.
    allowed = INFERENCE.union(also, (name for name in functions if op_def_registry.get(name) is None))
    if nodes is None:
        todo = [*graph_def.node, *(n for f in functions.values() for n in f.node_def)]
    else:
        todo = list(_called(nodes, functions))
    return [f"{n.op} (node {n.name})" for n in todo if n.op not in allowed or _prints_to_file(n)]


def inert(graph_def: Any, also: Iterable[str] = ()) -> Any:
    """A copy in which stand-ins take the places of what `refused` names, at top level and in functions.

    TensorFlow evaluates constant parts of a graph while it infers shapes, and `ReadFile` of a constant is one: such a
    graph touches files as soon as it is imported. The stand-ins hold state, so that nothing evaluates them ahead of
    time; their outputs have the types of what they stand for, and shapes that nobody knows. Operations that TensorFlow
    does not know stay: no graph that holds one is imported.
    """
    import_runtime()
    from tensorflow.python.framework import op_def_registry

    new = type(graph_def)()
    new.CopyFrom(graph_def)
    allowed = INFERENCE.union(also)

    def definition(node: Any) -> Any:
        harmless = node.op in allowed and not _prints_to_file(node)
        return None if harmless else op_def_registry.get(node.op)

    for node in new.node:
        if (known := definition(node)) is not None:
            _stand_in(node, [t for _, types in _outputs(node, known) for t in types])
            node.input[:] = list(dict.fromkeys("^" + ref.split(":")[0].lstrip("^") for ref in node.input))
    for function in new.library.function:
        places: dict[str, str] = {}
        for node in function.node_def:
            if (known := definition(node)) is not None:
                flat = [(name, k, t) for name, types in _outputs(node, known) for k, t in enumerate(types)]
                places |= {f"{node.name}:{name}:{k}": f"{node.name}:values:{n}" for n, (name, k, _) in enumerate(flat)}
                _stand_in(node, [t for _, _, t in flat])
                del node.input[:]
        for node in function.node_def:
            node.input[:] = [places.get(ref, ref) for ref in node.input]
        for key, ref in function.ret.items():
            function.ret[key] = places.get(ref, ref)
    return new


def _outputs(node: Any, definition: Any) -> Iterator[tuple[str, list[int]]]:
    """Name and types (DataType) of each output that a node has by the definition of its operation."""
    defaults = {a.name: a.default_value for a in definition.attr}

    def value(name: str) -> Any:
        return node.attr[name] if name in node.attr else defaults[name]

    for arg in definition.output_arg:
        if arg.type_list_attr:
            yield arg.name, list(value(arg.type_list_attr).list.type)
        else:
            count = value(arg.number_attr).i if arg.number_attr else 1
            yield arg.name, [arg.type or value(arg.type_attr).type] * min(max(0, count), MOST_OUTPUTS)


def _stand_in(node: Any, types: list[int]) -> None:
    """Make a node one that takes nothing, gives values of these types, and is never evaluated ahead of time."""
    node.ClearField("attr")
    node.op = "Unstage" if types else "NoOp"
    if types:
        node.attr["dtypes"].list.type.extend(types)


def _prints_to_file(node: Any) -> bool:
    return node.op == "PrintV2" and bytes(node.attr["output_stream"].s).startswith(b"file:")


def _called(nodes: Iterable[Any], functions: dict[str, Any]) -> Iterator[Any]:
    """The nodes, and those of the functions that they call, each function once."""
    todo, seen = list(nodes), set()
    while todo:
        node = todo.pop()
        yield node
        for name in (node.op, *_functions_of(node)):
            if name in functions and name not in seen:
                seen.add(name)
                todo.extend(functions[name].node_def)


def _functions_of(node: Any) -> Iterator[str]:
    """Names of the functions among a node's attributes: branches, loop bodies, calls."""
    for attr in node.attr.values():
        if attr.HasField("func"):
            yield attr.func.name
        for function in attr.list.func:
            yield function.name


def listed(found: list[str], most: int = 4) -> str:
    """`WriteFile (node a), ReadFile (node b) and 3 more`."""
    first = list(dict.fromkeys(found))
    return ", ".join(first[:most]) + (f" and {len(first) - most} more" if len(first) > most else "")
