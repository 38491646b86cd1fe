"""The classes of Keras 3 that a `.keras` file may name: those that only compute.

Left out are those that run what a file brings with it (Lambda, TFSMLayer, TorchModuleWrapper, JaxLayer, FlaxLayer), and
all functions by name: what they do is not said by the file.
"""

from __future__ import annotations

_MODELS = "Functional Sequential"
_LAYERS = """
Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average
AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop
Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity InputLayer IntegerLookup LSTM LSTMCell
LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D Maximum
MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN
RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
RandomZoom ReLU RepeatVector Rescaling Reshape Resizing STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN
SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization
StackedRNNCells StringLookup Subtract TextVectorization TimeDistributed UnitNormalization UpSampling1D UpSampling2D
UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_PARTS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer LecunNormal LecunUniform Ones
OrthogonalInitializer Orthogonal RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling
Zeros L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm DTypePolicy FloatDTypePolicy
DTypePolicyMap """
_OPERATIONS = """
Abs Absolute All Any Arccos Arcsin Arctan Arctan2 Argmax Argmin AveragePool BroadcastTo Cast Ceil Celu Clip Conv Cos
Cosh Cumprod Cumsum Divide Elu Equal Erf Exp ExpandDims Expm1 Flip Floor FloorDivide FullLike Gelu GetItem
Glu Greater GreaterEqual HardSigmoid HardSilu HardTanh LeakyRelu Less LessEqual Linspace Log Log10 Log1p Log2
LogSigmoid LogSoftmax LogicalAnd LogicalNot LogicalOr Logaddexp Logsumexp Matmul Max MaxPool Mean Median Min Mod
Moveaxis Multiply NanToNum Negative Norm Normalize NotEqual OneHot OnesLike Pad Power Prod Ravel Reciprocal Relu
Relu6 Repeat Roll Round Rsqrt Select Selu Sigmoid Sign Silu Sin Sinh Slice Softplus Softsign Sort Split Sqrt Square
Squeeze Stack Std StopGradient Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile TopK Transpose Tril Triu
TrueDivide Var Where ZerosLike
"""

CLASSES = frozenset(f"{_MODELS} {_LAYERS} {_PARTS} {_OPERATIONS}".split())
VALUES = frozenset(("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"))
"""How Keras writes values that JSON has none of."""
MODULES = frozenset(
    (
        "keras",
        "keras.constraints",
        "keras.dtype_policies",
        "keras.initializers",
        "keras.layers",
        "keras.models",
        "keras.ops",
        "keras.random",
        "keras.regularizers",
        "keras.src.models.functional",
        "keras.src.models.sequential",
        "keras.src.ops.core",
        "keras.src.ops.image",
        "keras.src.ops.linalg",
        "keras.src.ops.math",
        "keras.src.ops.nn",
        "keras.src.ops.numpy",
    )
)
