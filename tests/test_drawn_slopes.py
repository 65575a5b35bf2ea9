"""rrelu in training: slopes are drawn, given with y, and are prelu's weights."""

import numpy as np
import pytest

from kernels.backends import OWN, get

RUNNING = [name for name, backend in OWN.items() if backend.reason() is None]
X = np.random.default_rng(0).standard_normal((50, 40)).astype(np.float32)


@pytest.mark.parametrize("backend", RUNNING)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_y_and_its_gradient_are_those_of_the_slopes(backend, dtype):
    x = X.astype(dtype)
    y, slope = get("rrelu", backend)(x, training=True, rng=1)
    prelu = get("prelu", backend)
    assert y.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(y, prelu(x, slope))
    np.testing.assert_array_equal(prelu.backward(np.ones_like(x), x, slope), slope)


def test_slopes_are_drawn_evenly_between_the_ends_where_x_is_not_positive():
    _, slope = get("rrelu")(X, 0.25, 0.75, True, rng=1)
    drawn = slope[X <= 0]
    assert (slope[X > 0] == 1).all()
    assert 0.25 <= drawn.min() < 0.26
    assert 0.74 < drawn.max() <= 0.75
    assert abs(drawn.mean() - 0.5) < 4 * 0.5 / np.sqrt(12 * drawn.size)


def test_a_seed_or_a_generator_decides():
    rrelu = get("rrelu")
    one, same, other = (rrelu(X, training=True, rng=rng)[1] for rng in (7, np.random.default_rng(7), 8))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_out_takes_y_and_may_be_x():
    x = X.copy()
    expected, _ = get("rrelu")(X, training=True, rng=3)
    y, _ = get("rrelu")(x, training=True, rng=3, out=x)
    assert y is x
    np.testing.assert_array_equal(x, expected)


def test_evaluation_is_the_default_and_does_not_draw():
    np.testing.assert_array_equal(get("rrelu")(X, training=False, rng=1), get("rrelu")(X))


def test_training_is_yes_or_no():
    with pytest.raises(TypeError, match="True or False, given ndarray"):
        get("rrelu")(X, 0.1, 0.2, X)


def test_ends_in_the_wrong_order():
    with pytest.raises(ValueError, match=r"lower=0\.5 > upper=0\.25"):
        get("rrelu")(X, 0.5, 0.25, training=True)


@pytest.mark.parametrize("x", [-2.0, [], [-1.0, 2.0]])
def test_scalars_lists_and_nothing(x):
    y, slope = get("rrelu")(x, training=True)
    assert np.shape(y) == np.shape(slope) == np.shape(x)
