"""The table of activations: one frozen record per function.

Everything else (tests, benchmarks, charts, public names) is drawn from this table. It imports nothing heavy, so that
the build script can read it too. To add an activation, add its record here, its formulas to ``oracle.py`` and to the
four formula texts; whatever is forgotten is an error that names what is missing."""

from __future__ import annotations

import copyreg
import math
from collections.abc import Mapping
from types import MappingProxyType

from kernels.record import (  # noqa: F401  (what a record consists of is imported from here, too)
    BOUND_OF,
    EXACT,
    FORMS,
    ROUNDED,
    ROW_BLOCKS,
    Activation,
    Bounds,
    Kink,
    Parameter,
    Special,
)

INF = math.inf

_SELU_ALPHA = 1.6732632423543772848
_SELU_SCALE = 1.0507009873554804934

_RECORDS = (
    Activation(
        name="relu",
        formula="max(x, 0)",
        derivative_formula="1 where x > 0, else 0",
        range=(0.0, INF),
        reference="Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, ICML 2010",
        kinks=(Kink(0.0, "0"),),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, 0.0, 0.0),
            Special(0.0, 0.0, 0.0),
            Special(INF, INF, 1.0),
        ),
        from_output=True,
        ulp={"value": EXACT, "derivative": EXACT, "derivative_from_output": EXACT},
        flops=(1, 1),
    ),
    Activation(
        name="leaky_relu",
        formula="x where x > 0, else negative_slope * x",
        derivative_formula="1 where x > 0, else negative_slope",
        range=(-INF, INF),
        reference="Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML 2013",
        parameters=(
            Parameter("negative_slope", 0.01, 0.01, "slope where x <= 0, any sign", nonnegative_from_output=True),
        ),
        kinks=(Kink(0.0, "negative_slope"),),
        special=(
            Special(-INF, -INF, 0.01),
            Special(-0.0, -0.0, 0.01),
            Special(0.0, 0.0, 0.01),
            Special(INF, INF, 1.0),
        ),
        from_output=True,
        ulp={"value": ROUNDED, "derivative": EXACT, "derivative_from_output": EXACT},
        flops=(2, 1),
    ),
    Activation(
        name="prelu",
        formula="x where x > 0, else weight * x",
        derivative_formula="1 where x > 0, else weight",
        range=(-INF, INF),
        reference="He, Zhang, Ren and Sun, Delving Deep into Rectifiers, ICCV 2015",
        parameters=(
            Parameter(
                "weight",
                None,
                0.25,
                "learned slope where x <= 0: a scalar, 1-d per channel (axis 1), or broadcast against x",
                learnable=True,
                broadcasts=True,
            ),
        ),
        kinks=(Kink(0.0, "weight"),),
        special=(
            Special(-INF, -INF, 0.25),
            Special(-0.0, -0.0, 0.25),
            Special(0.0, 0.0, 0.25),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": ROUNDED, "derivative": EXACT, "parameter_derivative": EXACT},
        flops=(2, 1),
    ),
    Activation(
        name="identity",
        formula="x",
        derivative_formula="1",
        range=(-INF, INF),
        reference="the output layer of regression, known from the beginning",
        aliases=("linear",),
        special=(
            Special(-INF, -INF, 1.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": EXACT, "derivative": EXACT},
    ),
    Activation(
        name="relu6",
        formula="min(max(x, 0), 6)",
        derivative_formula="1 where 0 < x < 6, else 0",
        range=(0.0, 6.0),
        reference="Krizhevsky, Convolutional Deep Belief Networks on CIFAR-10, 2010",
        kinks=(Kink(0.0, "0"), Kink(6.0, "0")),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, 0.0, 0.0),
            Special(0.0, 0.0, 0.0),
            Special(6.0, 6.0, 0.0),
            Special(INF, 6.0, 0.0),
        ),
        ulp={"value": EXACT, "derivative": EXACT},
        flops=(2, 2),
    ),
    Activation(
        name="hardtanh",
        formula="min(max(x, min_val), max_val)",
        derivative_formula="1 where min_val < x < max_val, else 0",
        range=(-1.0, 1.0),
        reference="Collobert, Large Scale Machine Learning, PhD thesis, 2004",
        aliases=("hard_tanh",),
        parameters=(
            Parameter("min_val", -1.0, -1.0, "smallest value"),
            Parameter("max_val", 1.0, 1.0, "largest value, not below min_val"),
        ),
        kinks=(Kink(-1.0, "0"), Kink(1.0, "0")),
        special=(
            Special(-INF, -1.0, 0.0),
            Special(-1.0, -1.0, 0.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(1.0, 1.0, 0.0),
            Special(INF, 1.0, 0.0),
        ),
        ulp={"value": EXACT, "derivative": EXACT},
        flops=(2, 2),
    ),
    Activation(
        name="threshold",
        formula="x where x > threshold, else value",
        derivative_formula="1 where x > threshold, else 0",
        range=(-INF, INF),
        reference="Konda, Memisevic and Krueger, Zero-bias autoencoders and the benefits of co-adapting features, 2014",
        parameters=(
            Parameter("threshold", None, 0.5, "where x begins to pass"),
            Parameter("value", None, -0.25, "the value up to there"),
        ),
        kinks=(Kink(0.5, "0"),),
        special=(
            Special(-INF, -0.25, 0.0),
            Special(-0.0, -0.25, 0.0),
            Special(0.0, -0.25, 0.0),
            Special(0.5, -0.25, 0.0),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": EXACT, "derivative": EXACT},
        flops=(1, 1),
    ),
    Activation(
        name="rrelu",
        formula="x where x > 0, else (lower + upper) / 2 * x; in training the slope is drawn, an element each",
        derivative_formula="1 where x > 0, else (lower + upper) / 2",
        range=(-INF, INF),
        reference="Xu, Wang, Chen and Li, Empirical Evaluation of Rectified Activations in Convolutional Network, 2015",
        parameters=(
            Parameter("lower", 1 / 8, 1 / 8, "smallest slope where x <= 0"),
            Parameter("upper", 1 / 3, 1 / 3, "largest slope where x <= 0"),
        ),
        drawn="prelu",
        kinks=(Kink(0.0, "(lower + upper) / 2"),),
        special=(
            Special(-INF, -INF, (1 / 8 + 1 / 3) / 2),
            Special(-0.0, -0.0, (1 / 8 + 1 / 3) / 2),
            Special(0.0, 0.0, (1 / 8 + 1 / 3) / 2),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": Bounds(1.5, 1.5, 1.5, 1.5, 1.5), "derivative": ROUNDED},
        flops=(2, 1),
    ),
    Activation(
        name="relu_squared",
        formula="max(x, 0)^2",
        derivative_formula="2 max(x, 0)",
        range=(0.0, INF),
        reference="So, Manke, Liu, Dai, Shazeer and Le, Primer: Searching for Efficient Transformers, NeurIPS 2021",
        aliases=("squared_relu",),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, 0.0, 0.0),
            Special(0.0, 0.0, 0.0),
            Special(INF, INF, INF),
        ),
        ulp={"value": ROUNDED, "derivative": EXACT},
        flops=(2, 2),
    ),
    Activation(
        name="hardshrink",
        formula="x where |x| > lambd, else 0",
        derivative_formula="1 where |x| > lambd, else 0",
        range=(-INF, INF),
        reference="Donoho and Johnstone, Ideal Spatial Adaptation by Wavelet Shrinkage, Biometrika 1994",
        aliases=("hard_shrink",),
        parameters=(Parameter("lambd", 0.5, 0.5, "half the width of what becomes 0"),),
        kinks=(Kink(-0.5, "0"), Kink(0.5, "0")),
        special=(
            Special(-INF, -INF, 1.0),
            Special(-0.5, 0.0, 0.0),
            Special(-0.0, 0.0, 0.0),
            Special(0.0, 0.0, 0.0),
            Special(0.5, 0.0, 0.0),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": EXACT, "derivative": EXACT},
        flops=(1, 1),
    ),
    Activation(
        name="softshrink",
        formula="x - lambd where x > lambd, x + lambd where x < -lambd, else 0",
        derivative_formula="1 where |x| > lambd, else 0",
        range=(-INF, INF),
        reference="Donoho, De-noising by Soft-thresholding, IEEE Transactions on Information Theory 1995",
        aliases=("soft_shrink",),
        parameters=(Parameter("lambd", 0.5, 0.5, "half the width of what becomes 0, not negative"),),
        kinks=(Kink(-0.5, "0"), Kink(0.5, "0")),
        special=(
            Special(-INF, -INF, 1.0),
            Special(-0.5, 0.0, 0.0),
            Special(-0.0, 0.0, 0.0),
            Special(0.0, 0.0, 0.0),
            Special(0.5, 0.0, 0.0),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": ROUNDED, "derivative": EXACT},
        flops=(4, 1),
    ),
    Activation(
        name="hardsigmoid",
        formula="min(max(x + 3, 0), 6) / 6",
        derivative_formula="1/6 where -3 < x < 3, else 0",
        range=(0.0, 1.0),
        reference="Courbariaux, Bengio and David, BinaryConnect, NIPS 2015; "
        "with these slopes Howard and others, Searching for MobileNetV3, ICCV 2019",
        aliases=("hard_sigmoid",),
        kinks=(Kink(-3.0, "0"), Kink(3.0, "0")),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-3.0, 0.0, 0.0),
            Special(-0.0, 0.5, 1 / 6),
            Special(0.0, 0.5, 1 / 6),
            Special(3.0, 1.0, 0.0),
            Special(INF, 1.0, 0.0),
        ),
        ulp={
            "value": Bounds(0.5, 0.5, 1.5, 1.5, 1.5, accurate=0.5),
            "derivative": Bounds(0.34, 0.34, 0.5, 0.5, 0.5, accurate=0.34),
        },
        flops=(10, 1),
    ),
    Activation(
        name="hardswish",
        formula="x min(max(x + 3, 0), 6) / 6",
        derivative_formula="x/3 + 1/2 where -3 < x < 3, else 0 below and 1 above",
        range=(-0.375, INF),
        reference="Howard and others, Searching for MobileNetV3, ICCV 2019",
        aliases=("hard_swish", "hard_silu", "hardsilu"),
        kinks=(Kink(-3.0, "0"), Kink(3.0, "1")),
        special=(
            Special(-INF, -0.0, 0.0),
            Special(-3.0, -0.0, 0.0),
            Special(-1.5, -0.375, 0.0),
            Special(-0.0, -0.0, 0.5),
            Special(0.0, 0.0, 0.5),
            Special(3.0, 3.0, 1.0),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(1.88, 1.88, 2.5, 2.5, 2.5, accurate=0.5),
            "derivative": Bounds(0.5, 0.5, 1.5, 1.5, 1.5, accurate=0.5),
        },
        flops=(7, 12),
    ),
    Activation(
        name="softsign",
        formula="x / (1 + |x|)",
        derivative_formula="1 / (1 + |x|)^2",
        range=(-1.0, 1.0),
        reference="Turian, Bergstra and Bengio, Quadratic Features and Deep Architectures for Chunking, NAACL 2009",
        aliases=("soft_sign",),
        special=(
            Special(-INF, -1.0, 0.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(INF, 1.0, 0.0),
        ),
        ulp={"value": Bounds(1.5, 1.5, 1.5, 1.5, 1.5, accurate=0.5), "derivative": Bounds(2.48, 2.48, 5.0, 5.0, 5.0)},
        flops=(5, 7),
    ),
    Activation(
        name="squareplus",
        formula="(x + sqrt(x^2 + b)) / 2",
        derivative_formula="(1 + x / sqrt(x^2 + b)) / 2",
        range=(0.0, INF),
        reference="Barron, Squareplus: A Softplus-Like Algebraic Rectifier, 2021",
        parameters=(Parameter("b", 4.0, 4.0, "width of the bend, positive; the smaller, the nearer to relu"),),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, 1.0, 0.5),
            Special(0.0, 1.0, 0.5),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": Bounds(2.0, 2.0, 3.5, 3.5, 3.5, accurate=0.5), "derivative": Bounds(2.58, 2.54, 5.0, 5.0, 5.0)},
        flops=(12, 14),
    ),
    Activation(
        name="sparse_plus",
        formula="0 where x <= -1, x where x >= 1, else (x + 1)^2 / 4",
        derivative_formula="min(max((x + 1) / 2, 0), 1)",
        range=(0.0, INF),
        reference="Martins and Astudillo, From Softmax to Sparsemax, ICML 2016 (the loss of its sigmoid)",
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-1.0, 0.0, 0.0),
            Special(-0.0, 0.25, 0.5),
            Special(0.0, 0.25, 0.5),
            Special(1.0, 1.0, 1.0),
            Special(INF, INF, 1.0),
        ),
        ulp={"value": Bounds(0.51, 0.5, 2.5, 2.5, 2.5, accurate=0.5), "derivative": ROUNDED},
        flops=(10, 4),
    ),
    Activation(
        name="sparse_sigmoid",
        formula="min(max((x + 1) / 2, 0), 1)",
        derivative_formula="1/2 where -1 < x < 1, else 0",
        range=(0.0, 1.0),
        reference="Martins and Astudillo, From Softmax to Sparsemax, ICML 2016 (for two classes)",
        kinks=(Kink(-1.0, "0"), Kink(1.0, "0")),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-1.0, 0.0, 0.0),
            Special(-0.0, 0.5, 0.5),
            Special(0.0, 0.5, 0.5),
            Special(1.0, 1.0, 0.0),
            Special(INF, 1.0, 0.0),
        ),
        ulp={"value": ROUNDED, "derivative": EXACT},
        flops=(4, 1),
    ),
    Activation(
        name="elu",
        formula="x where x > 0, else alpha * (e^x - 1)",
        derivative_formula="1 where x > 0, else alpha * e^x",
        range=(-1.0, INF),
        reference="Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by ELUs, ICLR 2016",
        parameters=(Parameter("alpha", 1.0, 1.0, "saturation value is -alpha", nonnegative_from_output=True),),
        kinks=(Kink(0.0, "alpha"),),
        special=(
            Special(-INF, -1.0, 0.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(INF, INF, 1.0),
        ),
        from_output=True,
        ulp={
            "value": Bounds(0.95, 1.09, 4.5, 1.5, 1.5),
            "derivative": Bounds(1.0, 0.86, 3.5, 1.5, 1.5),
            "derivative_from_output": ROUNDED,
        },
        flops=(20, 20),
    ),
    Activation(
        name="selu",
        formula="scale * (x where x > 0, else alpha * (e^x - 1)), alpha = 1.67326..., scale = 1.05070...",
        derivative_formula="scale where x > 0, else scale * alpha * e^x",
        range=(-_SELU_SCALE * _SELU_ALPHA, INF),
        reference="Klambauer, Unterthiner, Mayr and Hochreiter, Self-Normalizing Neural Networks, NeurIPS 2017",
        kinks=(Kink(0.0, "scale * alpha"),),
        special=(
            Special(-INF, -_SELU_SCALE * _SELU_ALPHA, 0.0),
            Special(-0.0, -0.0, _SELU_SCALE * _SELU_ALPHA),
            Special(0.0, 0.0, _SELU_SCALE * _SELU_ALPHA),
            Special(INF, INF, _SELU_SCALE),
        ),
        from_output=True,
        ulp={
            "value": Bounds(1.67, 1.9, 4.5, 2.0, 2.0),
            "derivative": Bounds(1.95, 1.8, 4.5, 2.0, 2.0),
            "derivative_from_output": Bounds(0.7, 0.5, 1.5, 1.5, 1.5, accurate=0.5),
        },
        flops=(21, 21),
    ),
    Activation(
        name="sigmoid",
        formula="1 / (1 + e^-x)",
        derivative_formula="e^-|x| / (1 + e^-|x|)^2",
        range=(0.0, 1.0),
        reference="Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 1986",
        aliases=("logistic",),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, 0.5, 0.25),
            Special(0.0, 0.5, 0.25),
            Special(INF, 1.0, 0.0),
        ),
        from_output=True,
        ulp={
            "value": Bounds(2.0, 1.64, 4.5, 2.5, 2.5),
            "derivative": Bounds(2.42, 2.45, 6.0, 4.2, 3.5),
            "derivative_from_output": Bounds(0.5, 0.5, 1.6, 1.6, 1.6, accurate=0.5),
        },
        flops=(20, 22),
    ),
    Activation(
        name="tanh",
        formula="(e^x - e^-x) / (e^x + e^-x)",
        derivative_formula="1 - tanh(x)^2 = 4 e^-2|x| / (1 + e^-2|x|)^2",
        range=(-1.0, 1.0),
        reference="LeCun, Bottou, Orr and Muller, Efficient BackProp, 1998",
        special=(
            Special(-INF, -1.0, 0.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(INF, 1.0, 0.0),
        ),
        from_output=True,
        ulp={
            "value": Bounds(0.98, 1.19, 4.0, 2.0, 2.1),
            "derivative": Bounds(2.42, 2.41, 6.0, 4.3, 3.5),
            "derivative_from_output": Bounds(0.5, 0.5, 1.6, 1.6, 1.6, accurate=0.5),
        },
        flops=(22, 22),
    ),
    Activation(
        name="swish",
        formula="x / (1 + e^(-beta x))",
        derivative_formula="s(bx) (1 + bx s(-bx)), s = sigmoid, b = beta",
        range=(-0.2784645427610738, INF),
        reference="Ramachandran, Zoph and Le, Searching for Activation Functions, 2017; "
        "Elfwing, Uchibe and Doya (silu), 2017",
        aliases=("silu",),
        parameters=(Parameter("beta", 1.0, 1.0, "steepness of the gate; 1 is silu", learnable=True),),
        special=(
            Special(-INF, -0.0, -0.0),
            Special(-0.0, -0.0, 0.5),
            Special(0.0, 0.0, 0.5),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(2.0, 1.59, 8.0, 4.5, 4.0),
            "derivative": Bounds(2.96, 2.96, 10.0, 6.0, 6.0, absolute=1.0),
            "parameter_derivative": Bounds(4.0, 4.0, 8.0, 6.0, 6.0),
        },
        flops=(24, 30),
        derivative_roots=(-1.2784645427610738,),
    ),
    Activation(
        name="softplus",
        formula="log(1 + e^(beta x)) / beta, without a threshold",
        derivative_formula="s(bx), s = sigmoid, b = beta",
        range=(0.0, INF),
        reference="Dugas, Bengio, Belisle, Nadeau and Garcia, "
        "Incorporating Second-Order Functional Knowledge for Better Option Pricing, NIPS 2000",
        parameters=(Parameter("beta", 1.0, 1.0, "steepness, not 0; the larger, the nearer to relu"),),
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, math.log(2.0), 0.5),
            Special(0.0, math.log(2.0), 0.5),
            Special(INF, INF, 1.0),
        ),
        from_output=True,
        ulp={
            "value": Bounds(1.86, 1.64, 4.5, 2.5, 2.5),
            "derivative": Bounds(2.0, 1.64, 4.5, 2.5, 2.5),
            "derivative_from_output": Bounds(0.95, 1.09, 4.5, 2.0, 2.0),
        },
        flops=(54, 25),
    ),
    Activation(
        name="logsigmoid",
        formula="log(1 / (1 + e^-x)) = min(x, 0) - log(1 + e^-|x|)",
        derivative_formula="1 / (1 + e^x)",
        range=(-INF, 0.0),
        reference="Mnih and Hinton, A Scalable Hierarchical Distributed Language Model, NIPS 2008",
        aliases=("log_sigmoid",),
        special=(
            Special(-INF, -INF, 1.0),
            Special(-0.0, -math.log(2.0), 0.5),
            Special(0.0, -math.log(2.0), 0.5),
            Special(INF, -0.0, 0.0),
        ),
        ulp={
            "value": Bounds(1.86, 1.62, 4.5, 2.5, 2.5),
            "derivative": Bounds(2.0, 1.64, 4.5, 2.5, 2.5),
        },
        flops=(49, 20),
    ),
    Activation(
        name="gelu",
        formula="x Phi(x) = x erfc(-x / sqrt(2)) / 2",
        derivative_formula="Phi(x) + x phi(x), the normal distribution and density",
        range=(-0.16997120747990366, INF),
        reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016",
        special=(
            Special(-INF, -0.0, -0.0),
            Special(-0.0, -0.0, 0.5),
            Special(0.0, 0.0, 0.5),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(2.31, 1.76, 9.0, 6.0, 800.0),
            "derivative": Bounds(2.55, 1.93, 11.0, 28.8, 800.0, accurate=0.5, absolute=1.0),
        },
        flops=(60, 60),
        derivative_roots=(-0.7517915246935645,),
    ),
    Activation(
        name="gelu_tanh",
        formula="x s(2u), u = sqrt(2 / pi) (x + 0.044715 x^3), s = sigmoid: x (1 + tanh(u)) / 2",
        derivative_formula="s(2u) + 2 x u' s(2u) s(-2u), u' = sqrt(2 / pi) (1 + 0.134145 x^2)",
        range=(-0.17004075057125403, INF),
        reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016",
        special=(
            Special(-INF, -0.0, -0.0),
            Special(-0.0, -0.0, 0.5),
            Special(0.0, 0.0, 0.5),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(1.99, 1.48, 260.0, 1500.0, 1500.0),
            "derivative": Bounds(2.57, 2.15, 260.0, 1500.0, 1500.0, absolute=1.0),
        },
        flops=(46, 56),
        derivative_roots=(-0.7524614220710162,),
    ),
    Activation(
        name="quick_gelu",
        formula="x s(1.702 x), s = sigmoid",
        derivative_formula="s(t) (1 + t s(-t)), t = 1.702 x, s = sigmoid",
        range=(-0.1636101896363536, INF),
        reference="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016",
        special=(
            Special(-INF, -0.0, -0.0),
            Special(-0.0, -0.0, 0.5),
            Special(0.0, 0.0, 0.5),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(2.0, 1.46, 100.0, 1000.0, 1000.0),
            "derivative": Bounds(2.81, 1.95, 100.0, 1000.0, 1000.0, absolute=1.0),
        },
        flops=(34, 42),
        derivative_roots=(-0.751154255441289,),
    ),
    Activation(
        name="mish",
        formula="x tanh(log(1 + e^x)) = x n / (n + 2), n = e (e + 2), e = e^x",
        derivative_formula="n / (n + 2) + 4 x s(x) (n + 1) / (n + 2)^2, s = sigmoid",
        range=(-0.30884341301725043, INF),
        reference="Misra, Mish: A Self Regularized Non-Monotonic Activation Function, BMVC 2020",
        special=(
            Special(-INF, -0.0, -0.0),
            Special(-0.0, -0.0, 0.6),
            Special(0.0, 0.0, 0.6),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(2.13, 1.79, 9.0, 400.0, 400.0),
            "derivative": Bounds(2.61, 2.42, 10.2, 400.0, 400.0, accurate=0.5, absolute=1.0),
        },
        flops=(32, 46),
        derivative_roots=(-1.1924312145154952,),
    ),
    Activation(
        name="exponential",
        formula="e^x",
        derivative_formula="e^x",
        range=(0.0, INF),
        reference="Nelder and Wedderburn, Generalized Linear Models, 1972 (the inverse of the logarithmic link)",
        special=(
            Special(-INF, 0.0, 0.0),
            Special(-0.0, 1.0, 1.0),
            Special(0.0, 1.0, 1.0),
            Special(INF, INF, INF),
        ),
        from_output=True,
        ulp={
            "value": Bounds(1.01, 0.86, 3.5, 1.5, 1.5),
            "derivative": Bounds(1.01, 0.86, 3.5, 1.5, 1.5),
            "derivative_from_output": EXACT,
        },
        flops=(19, 19),
    ),
    Activation(
        name="celu",
        formula="x where x > 0, else alpha * (e^(x / alpha) - 1)",
        derivative_formula="1 where x > 0, else e^(x / alpha)",
        range=(-1.0, INF),
        reference="Barron, Continuously Differentiable Exponential Linear Units, 2017",
        parameters=(
            Parameter("alpha", 1.0, 1.0, "saturation value is -alpha, not 0; the larger, the smoother", divides=True),
        ),
        special=(
            Special(-INF, -1.0, 0.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(INF, INF, 1.0),
        ),
        from_output=True,
        ulp={
            "value": Bounds(1.5, 1.5, 4.5, 1.5, 1.5),
            "derivative": Bounds(1.0, 1.0, 3.5, 1.5, 1.5),
            "derivative_from_output": Bounds(1.0, 1.0, 1.0, 1.0, 1.0),
        },
        flops=(28, 26),
    ),
    Activation(
        name="tanhshrink",
        formula="x - tanh(x)",
        derivative_formula="tanh(x)^2",
        range=(-INF, INF),
        reference="PyTorch, torch.nn.Tanhshrink",
        aliases=("tanh_shrink",),
        special=(
            Special(-INF, -INF, 1.0),
            Special(-0.0, -0.0, 0.0),
            Special(0.0, 0.0, 0.0),
            Special(INF, INF, 1.0),
        ),
        ulp={
            "value": Bounds(1.92, 1.86, 8.0, 8.0, 8.0),
            "derivative": Bounds(2.14, 2.03, 9.0, 5.0, 5.0),
        },
        flops=(40, 46),
    ),
    Activation(
        name="softcap",
        formula="cap * tanh(x / cap)",
        derivative_formula="1 - tanh(x / cap)^2",
        range=(-30.0, 30.0),
        reference="Bello, Pham, Le, Norouzi and Bengio, Neural Combinatorial Optimization with Reinforcement Learning, "
        "2016; Gemma Team, Gemma 2, 2024",
        parameters=(Parameter("cap", None, 30.0, "the limit, not 0", divides=True),),
        special=(
            Special(-INF, -30.0, 0.0),
            Special(-0.0, -0.0, 1.0),
            Special(0.0, 0.0, 1.0),
            Special(INF, 30.0, 0.0),
        ),
        ulp={
            # The two plain texts divide a subnormal x by cap.
            "value": Bounds(1.3, 1.4, 16.0, 16.0, 16.0),
            "derivative": Bounds(2.4, 2.5, 200.0, 1500.0, 1500.0),
        },
        flops=(36, 36),
    ),
    Activation(
        name="softmax",
        formula="e^(x - max x) / sum of e^(x - max x) over the row",
        derivative_formula="y (g - sum(g y)), the product with the Jacobian diag(y) - y y^T",
        range=(0.0, 1.0),
        reference="Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990",
        kind="row",
        normaliser="reciprocal",
        from_output=True,
        # Of rows of up to 1000 entries.
        ulp={
            "value": Bounds(2.1, 2.0, 150.0, 520.0, 520.0),
            "derivative_from_output": Bounds(3.0, 3.0, 6.0, 9.0, 9.0),
        },
        flops=(29, 4),
    ),
    Activation(
        name="softmin",
        formula="e^(min x - x) / sum of e^(min x - x) over the row, which is softmax(-x)",
        derivative_formula="-y (g - sum(g y)), the product with the Jacobian y y^T - diag(y)",
        range=(0.0, 1.0),
        reference="PyTorch, torch.nn.Softmin",
        kind="row",
        normaliser="reciprocal",
        from_output=True,
        # Of rows of up to 1000 entries.
        ulp={
            "value": Bounds(2.1, 2.0, 150.0, 520.0, 520.0),
            "derivative_from_output": Bounds(3.0, 3.0, 6.0, 9.0, 9.0),
        },
        flops=(29, 4),
    ),
    Activation(
        name="log_softmax",
        formula="(x - max x) - log(sum of e^(x - max x) over the row)",
        derivative_formula="g - e^y sum(g), the product with the Jacobian I - 1 (e^y)^T",
        range=(-INF, 0.0),
        reference="PyTorch, torch.nn.LogSoftmax",
        kind="row",
        normaliser="logarithm",
        through="softmax",
        from_output=True,
        ulp={
            "value": Bounds(1.7, 1.9, 150.0, 520.0, 520.0),
            "derivative_from_output": Bounds(2.1, 2.1, 3.5, 3.5, 3.5),
        },
        flops=(27, 22),
    ),
    Activation(
        name="sparsemax",
        formula="max(x - t, 0), t such that a row sums to 1: its projection on the simplex",
        derivative_formula="g less its mean where y > 0, else 0",
        range=(0.0, 1.0),
        reference="Martins and Astudillo, From Softmax to Sparsemax, ICML 2016",
        kind="row",
        normaliser="threshold",
        from_output=True,
        # In ULP of the row's largest value, of which what is above the threshold is the rest.
        ulp={
            "value": Bounds(0.51, 2.8, 8.0, 8.0, 8.0),
            "derivative_from_output": Bounds(0.51, 2.3, 4.0, 4.0, 4.0),
        },
        flops=(20, 5),
    ),
)


def _of_products(one: Bounds, other: Bounds, ulp: float) -> Bounds:
    """The bound of products with a factor of these bounds and so many ULP more; the accurate class rounds once.

    A product's unit may be half of its factor's, beside the numbers themselves.
    """
    names = ("float32", "float64", "numpy32", "numpy64", "python64")
    return Bounds(*(2 * max(getattr(one, name), getattr(other, name)) + ulp for name in names))


def _gated(name: str, gate: Activation, reference: str) -> Activation:
    """The pair of a row's halves that ``gate`` makes, as exact as that but for its products."""
    value, slope = gate.ulp["value"], gate.ulp["derivative"]
    return Activation(
        name=name,
        formula=f"a * {gate.name}(b), a the first half of x and b the second",
        derivative_formula=f"{gate.name}(b) for a, and a * {gate.name}'(b) for b",
        range=(-INF, INF),
        reference=reference,
        kind="gated",
        gate=gate.name,
        gate_parameters=tuple(p.default for p in gate.parameters),
        ulp={
            "value": _of_products(value, value, 0.5),
            "backward": _of_products(value, slope, 1.5),
        },
        flops=(gate.flops[0] + 1, sum(gate.flops) + 3),
    )


_DAUPHIN = "Dauphin, Fan, Auli and Grangier, Language Modeling with Gated Convolutional Networks, ICML 2017"
_SHAZEER = "Shazeer, GLU Variants Improve Transformer, 2020"
_GATES = {record.name: record for record in _RECORDS}

_RECORDS += (
    _gated("glu", _GATES["sigmoid"], _DAUPHIN),
    _gated("reglu", _GATES["relu"], _SHAZEER),
    _gated("geglu", _GATES["gelu"], _SHAZEER),
    _gated("swiglu", _GATES["swish"], _SHAZEER),
)


def _by_name(records: tuple[Activation, ...]) -> Mapping[str, Activation]:
    table: dict[str, Activation] = {}
    for record in records:
        for name in (record.name, *record.aliases):
            if name in table:
                raise ValueError(f"two activations are called {name!r}: {table[name].name} and {record.name}")
            table[name] = record
    return MappingProxyType(table)


#: name or alias -> record
ACTIVATIONS: Mapping[str, Activation] = _by_name(_RECORDS)

#: the records, each once
RECORDS = _RECORDS

#: What benchmarks and reports measure unless asked for more: a set that a default run has time for.
MEASURED = tuple(
    ACTIVATIONS[name] for name in ("relu", "leaky_relu", "prelu", "elu", "selu", "sigmoid", "tanh", "swish", "softmax")
)


def lookup(name: str) -> Activation:
    """The record of a name or alias; KeyError lists what exists."""
    if not isinstance(name, str):
        raise TypeError(f"an activation is named by a string, given {name!r}; known are: {', '.join(ACTIVATIONS)}")
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise KeyError(f"unknown activation {name!r}; known are: {', '.join(ACTIVATIONS)}") from None


def _reduced(record: Activation) -> tuple:
    return lookup, (record.name,)


# A record is pickled and copied by its name: there is one of each.
copyreg.pickle(Activation, _reduced)
