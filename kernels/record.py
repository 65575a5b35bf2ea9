"""What is known of one activation function: the record, its parts, and what follows from them.

The records themselves are the table in ``activations``. Like it, this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: Every form a function can have, in the order in which they are shown.
FORMS = (
    "value",
    "derivative",
    "backward",
    "backward_from_output",
    "value_and_derivative",
    "backward_parameters",
    "jacobian",
)


#: form -> the formula that decides its error: the key of its bound in a record's ``ulp``
BOUND_OF = MappingProxyType(
    {
        "value": "value",
        "derivative": "derivative",
        "backward": "derivative",
        "backward_from_output": "derivative_from_output",
        "backward_parameters": "parameter_derivative",
    }
)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an activation, rounded to the array's dtype before use."""

    name: str
    #: None: the caller must give it.
    default: float | None
    #: The value that tests, benchmarks and charts use.
    example: float
    meaning: str
    #: Has a gradient of its own (``backward_parameters``).
    learnable: bool = False
    #: May be an array: per channel (1-d, axis 1) or broadcast against x.
    broadcasts: bool = False
    #: backward_from_output is defined for values >= 0 only.
    nonnegative_from_output: bool = False
    #: x is divided by it, so that errors depend on its value: bounds hold for all values, not for the example alone.
    divides: bool = False


@dataclass(frozen=True)
class Kink:
    """A point where the derivative jumps, and the derivative's value there (PyTorch's convention)."""

    at: float
    derivative: str


@dataclass(frozen=True)
class Special:
    """A special input with the exact value and derivative, for the example parameters."""

    x: float
    value: float
    derivative: float


@dataclass(frozen=True)
class Bounds:
    """Largest error of a form in ULP, by what computes it; 0 is exact, to the bit in compiled backends."""

    #: Compiled backends, fast class.
    float32: float
    float64: float
    #: The NumPy text, which is bound by NumPy's own functions.
    numpy32: float
    numpy64: float
    #: The pure Python text, computed in float64 throughout.
    python64: float
    #: float32 computed in float64 and rounded once.
    accurate: float = 0.51
    #: Near a root an absolute error of this many ulp(1) is accepted instead.
    absolute: float = 0.0


EXACT = Bounds(float32=0, float64=0, numpy32=0, numpy64=0, python64=0, accurate=0)
#: One multiplication, rounded once.
ROUNDED = Bounds(float32=0.5, float64=0.5, numpy32=0.5, numpy64=0.5, python64=0.5, accurate=0.5)


@dataclass(frozen=True)
class Activation:
    """What one activation function is: its mathematics, its promises and its cost."""

    name: str
    formula: str
    derivative_formula: str
    range: tuple[float, float]
    reference: str
    #: "elementwise", "row" for functions of a whole row such as softmax, or "gated": the first half of a row times a
    #: function of the second.
    kind: str = "elementwise"
    aliases: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    kinks: tuple[Kink, ...] = ()
    special: tuple[Special, ...] = ()
    #: f' has a cheap form in y = f(x).
    from_output: bool = False
    #: ULP bounds by formula: "value", "derivative", "derivative_from_output".
    ulp: Mapping[str, Bounds] = field(default_factory=dict, hash=False)
    #: Floating-point operations an element (fma counts two), value and derivative.
    flops: tuple[int, int] = (0, 0)
    #: Roots of the derivative, where relative error has no meaning.
    derivative_roots: tuple[float, ...] = ()
    #: The activation of the second half that gates the first, and its parameters.
    gate: str | None = None
    gate_parameters: tuple[float, ...] = ()
    #: What makes a row's values: the "reciprocal" or the "logarithm" of the sum of its terms, or a "threshold".
    normaliser: str | None = None
    #: The row function through whose output ``backward`` goes, where that is not this one.
    through: str | None = None
    #: The function whose weight ``training=True`` draws, between the two parameters, an element each.
    drawn: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ulp", MappingProxyType(dict(self.ulp)))

    @property
    def elementwise(self) -> bool:
        return self.kind == "elementwise"

    @property
    def learnable(self) -> Parameter | None:
        """The parameter that has a gradient, or None."""
        return next((p for p in self.parameters if p.learnable), None)

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms that exist for this function."""
        has = {
            "value": True,
            "derivative": self.elementwise,
            "backward": True,
            "backward_from_output": self.from_output,
            "value_and_derivative": self.elementwise,
            "backward_parameters": self.learnable is not None,
            "jacobian": self.kind == "row",
        }
        return tuple(form for form in FORMS if has[form])

    @property
    def scalar_formulas(self) -> tuple[str, ...]:
        """The names that every formula text must define for this function."""
        if self.gate:
            return self.gate, f"{self.gate}_derivative"
        if self.normaliser == "threshold":
            return tuple(f"{self.name}_{part}" for part in ("entry", "value", "gradient"))
        if not self.elementwise:
            return tuple(f"{self.name}_{part}" for part in (*ROW_PARTS, *self.row_gradients))
        names = [self.name, f"{self.name}_derivative"]
        if self.from_output:
            names.append(f"{self.name}_derivative_from_output")
        if self.learnable:
            names.append(f"{self.name}_parameter_derivative")
        return tuple(names)

    @property
    def row_gradients(self) -> tuple[str, ...]:
        """The formulas of a row's gradient: from its own output, and from that of ``through``."""
        return ("gradient", "gradient_through") if self.through else ("gradient",)

    @property
    def row_loops(self) -> tuple[str, ...]:
        """The names of the loops of a row function, but for the one that is called like it."""
        if self.normaliser == "threshold":
            return f"{self.name}_gradient_rows", f"{self.name}_backward_rows"
        endings = [*ROW_BLOCKS, *(f"{g}_{loop}" for g in self.row_gradients for loop in ("rows", "in_place"))]
        return tuple(f"{self.name}_{ending}" for ending in endings)

    @property
    def factors(self) -> tuple[str, ...]:
        """The formulas that backward forms multiply by grad_output."""
        endings = ("_derivative", "_derivative_from_output") if self.from_output else ("_derivative",)
        return tuple(self.name + ending for ending in endings) if self.elementwise else ()

    def format_of(self, formula: str, compute: str) -> str:
        """The format that a formula needs where "wide" is asked for: near a root, and in rows, all of float64."""
        rooted = self.derivative_roots and formula == f"{self.name}_derivative"
        if compute == "wide" and self.normaliser == "threshold":
            return "float32"  # which computes in float64 by itself
        return "float64" if compute == "wide" and (rooted or self.kind == "row") else compute

    @property
    def example_parameters(self) -> tuple[float, ...]:
        return tuple(p.example for p in self.parameters)

    def result_shape(self, form: str, shape: tuple[int, ...], axis: int = -1) -> tuple[int, ...]:
        """The shape of a form's result for an x of this shape: the value of a gated pair is half as long."""
        if self.kind != "gated" or form != "value":
            return shape
        halved = list(shape)
        halved[axis] //= 2
        return tuple(halved)

    def bytes_per_element(self, form: str, itemsize: int) -> int:
        """Bytes read once plus bytes written once, an element."""
        if self.kind == "gated":
            return (5 if form == "backward" else 3) * itemsize // 2
        arrays = {"backward": 3, "backward_from_output": 3, "value_and_derivative": 3}
        return arrays.get(form, 2) * itemsize


#: A row function is scalar formulas around fixed reductions (largest entry, sums): entry(x), parts(x, largest), which
#: are (p, m) of a term p (1 + m), product(g, y), gradients (g, y, total of products), and value: of a term and the
#: reciprocal of their sum, high and low, or of x, the largest entry and the logarithm of the sum.
ROW_PARTS = ("entry", "parts", "value", "product")

#: The loops of a row that is worked on in blocks, in the order of the dispatcher's RowParts; then comes a gradient's.
ROW_BLOCKS = ("begin", "largest", "add_terms", "normalise", "add_products")
