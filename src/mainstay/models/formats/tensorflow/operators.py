"""The operators of TensorFlow that a served graph may have: those that compute from what they are given.

An operator that is not here is refused. So none reads or writes a file (ReadFile, WriteFile, SaveV2, PrintV2,
InitializeTableFromTextFileV2, MatchingFiles), runs Python (PyFunc, EagerPyFunc) or a library (XlaCustomCall), talks to
a network or another device (Send, Recv, RPC, DebugIdentity), or builds a graph out of bytes, in which all of these
could hide (DatasetFromGraph, ParseTensor into a variant, MapDataset, RemoteCall).
"""

from __future__ import annotations

SAVING = frozenset(("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"))
"""What writes and reads checkpoints: in every SavedModel, in functions that answer nobody."""

_MATH = """
Abs Acos Acosh Add AddN AddV2 Angle ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh BatchMatMul
BatchMatMulV2 BatchMatMulV3 Betainc BesselI0 BesselI0e BesselI1 BesselI1e Bincount BitwiseAnd BitwiseOr BitwiseXor
Bucketize Cast Ceil Cholesky ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp
DenseBincount Diag DiagPart Digamma Div DivNoNan Einsum Equal Erf Erfc Erfinv EuclideanNorm Exp Expm1 FFT FFT2D
FFT3D Floor FloorDiv FloorMod Greater GreaterEqual HistogramFixedWidth IFFT IFFT2D IFFT3D IRFFT IRFFT2D IRFFT3D
Igamma Igammac Imag Invert InvertPermutation IsFinite IsInf IsNan L2Loss LeftShift Less LessEqual Lgamma LinSpace
Log Log1p LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart
MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV2
MatrixSetDiagV3 MatrixSolve MatrixTriangularSolve Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter
NotEqual Polygamma PopulationCount Pow Prod Qr RFFT RFFT2D RFFT3D Range Real RealDiv Reciprocal RightShift Rint
Round Rsqrt SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum SelfAdjointEigV2 Sigmoid Sign Sin Sinh Sqrt
Square SquaredDifference Sub Sum Svd Tan Tanh TruncateDiv TruncateMod UnsortedSegmentMax UnsortedSegmentMin
UnsortedSegmentProd UnsortedSegmentSum Xdivy Xlog1py Xlogy Zeta
"""
_NETWORKS = """
AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 Conv Conv2D Conv2DBackpropInput
Conv2DBackpropInputV2 Conv3D Conv3DBackpropInputV2 DepthwiseConv2dNative Dilation2D Elu FakeQuantWithMinMaxArgs
FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3
GRUBlockCell InTopKV2 LRN LSTMBlockCell BlockLSTM BlockLSTMV2 LeakyRelu LogSoftmax MaxPool MaxPool3D MaxPoolV2
MaxPoolWithArgmax NthElement Relu Relu6 Selu Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign
SparseSoftmaxCrossEntropyWithLogits TopK TopKV2 _FusedBatchNormEx _FusedConv2D _FusedMatMul
"""
_ARRAYS = """
All Any BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastTo CheckNumerics Concat ConcatV2 Const DeepCopy
DepthToSpace DynamicPartition DynamicStitch EnsureShape ExpandDims ExtractImagePatches ExtractVolumePatches Fill
Gather GatherNd GatherV2 GuaranteeConst Identity IdentityN ListDiff LowerBound MirrorPad NoOp OneHot OnesLike Pack
Pad PadV2 ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault PreventGradient Rank Reshape
ReverseSequence ReverseV2 Roll ScatterNd Select SelectV2 Shape ShapeN Size Slice Snapshot SpaceToBatch
SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice TensorScatterAdd TensorScatterMax
TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unique UniqueV2
UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where ZerosLike
"""
_PICTURES = """
AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize DecodeBmp DecodeGif DecodeImage
DecodeJpeg DecodePng DecodeRaw HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppression
NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 RGBToHSV ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate
"""
_TEXTS = """
AsString DecodeBase64 EncodeBase64 ReduceJoin RegexFullMatch RegexReplace StaticRegexFullMatch StaticRegexReplace
StringJoin StringLength StringLower StringNGrams StringSplit StringSplitV2 StringStrip StringToHashBucket
StringToHashBucketFast StringToHashBucketStrong StringToNumber StringUpper Substr UnicodeDecode
UnicodeDecodeWithOffsets UnicodeEncode UnicodeTranscode UnsortedSegmentJoin
"""
_SPARSE_AND_RAGGED = """
DenseCountSparseOutput DenseToDenseSetOperation RaggedBincount RaggedCountSparseOutput RaggedCross
RaggedFillEmptyRows RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor
RaggedTensorToVariant SparseAdd SparseBincount SparseConcat SparseCountSparseOutput SparseCross SparseCrossHashed
SparseCrossV2 SparseFillEmptyRows SparseReduceMax SparseReduceSum SparseReorder SparseReshape SparseSegmentMean
SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNWithNumSegments SparseSegmentSum
SparseSegmentSumWithNumSegments SparseSlice SparseSoftmax SparseSplit SparseTensorDenseAdd SparseTensorDenseMatMul
SparseToDense
"""
_FLOW = """
Assert Case EmptyTensorList Enter Exit FakeParam If LoopCond Merge NextIteration PartitionedCall
StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch TensorListConcatV2 TensorListElementShape
TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
TensorListReserve TensorListResize TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack While
"""
_STATE = """
AssignAddVariableOp AssignSubVariableOp AssignVariableOp DestroyResourceOp DisableCopyOnRead HashTableV2
InitializeTableV2 LookupTableExportV2 LookupTableFindV2 LookupTableImportV2 LookupTableInsertV2 LookupTableSizeV2
MutableDenseHashTableV2 MutableHashTableV2 AnonymousHashTable AnonymousMutableHashTable ReadVariableOp
ResourceGather ResourceGatherNd VarHandleOp VarIsInitializedOp VariableShape
"""
_CHANCE = """
Multinomial RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt StatelessRandomGetKeyCounter
StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformIntV2
StatelessRandomUniformV2 StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
"""

ALLOWED = frozenset(
    f"{_MATH} {_NETWORKS} {_ARRAYS} {_PICTURES} {_TEXTS} {_SPARSE_AND_RAGGED} {_FLOW} {_STATE} {_CHANCE}".split()
)
