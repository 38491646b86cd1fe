"""Types beyond skops' own list that any file may hold: plain data of scikit-learn and numpy, each looked at by itself.

A type stands here only when its code shows both of these, whatever its attributes are:

- it is a class of Python whose construction, `__new__` and `__setstate__` do nothing but keep what they are given;
- what it does later, asked for predictions, goes through numpy, which checks the bounds of every array.

Never a prefix: a module's functions are under it too. Never a function: a file chooses what it is called with. And
never a compiled type that follows indices of its file: `sklearn.tree._tree.Tree`, `sklearn.neighbors._kd_tree.KDTree`,
`sklearn.neighbors._ball_tree.BallTree`, their metrics (`sklearn.metrics._dist_metrics`) and the predictors of
HistGradientBoosting read memory wherever a file's index points, and end the process or tell what lies there. Those
need the operator's word.
"""

from __future__ import annotations

_REASONS: dict[str, tuple[str, ...]] = {
    "estimators in all but the public list: BaseEstimator keeps attributes, and methods are numpy": (
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.multiclass._ConstantPredictor",
    ),
    "kernels of Gaussian processes: numbers and other kernels, computed by numpy and scipy.spatial.distance": (
        "sklearn.gaussian_process.kernels.CompoundKernel",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.ExpSineSquared",
        "sklearn.gaussian_process.kernels.Exponentiation",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
    ),
    "the state of a training that is over: numbers and lists, which no prediction reads": (
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    ),
    "a dictionary whose keys are attributes too; its __setstate__ does nothing": ("sklearn.utils._bunch.Bunch",),
    "read from the header of an empty array, without pickle; as any other object it refuses to be made": (
        "numpy.dtype",
    ),
}
PLAIN = frozenset(name for names in _REASONS.values() for name in names)
