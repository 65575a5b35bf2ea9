"""Real pre-activations: a small multilayer perceptron trained on handwritten digits with this project's own kernels.

Forward, backward and softmax are ``kernels.fastest``; matrix products are NumPy's, the images scikit-learn's.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from kernels.backends import get

SIZES = (64, 32, 32, 10)
SEED = 20240607
EPOCHS = 15
BATCH = 32
RATE = 0.1


@dataclass(frozen=True)
class Network:
    """A trained network: one (weights, bias) pair a layer."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def pre_activations(self, images: np.ndarray) -> list[np.ndarray]:
        """What each layer feeds its activation, the last one softmax."""
        found, a = [], images
        for weights, bias in self.layers:
            found.append(a @ weights + bias)
            a = get("relu")(found[-1])
        return found

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return get("softmax")(self.pre_activations(images)[-1])


@functools.cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of the digits, images in 0..1."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        message = f'the digits data needs scikit-learn ({error}); pip install "activation-kernels[report]"'
        raise ImportError(message) from None
    found = load_digits()
    return (found.data / 16).astype(np.float32), found.target


@functools.cache
def train() -> Network:
    """The network after plain stochastic gradient descent, the same at every call."""
    images, labels = data()
    rng = np.random.default_rng(SEED)
    layers = [
        (rng.normal(0, np.sqrt(2 / fan_in), (fan_in, width)).astype(np.float32), np.zeros(width, np.float32))
        for fan_in, width in itertools.pairwise(SIZES)
    ]
    network = Network(tuple(layers))
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            _step(network, images[chosen], labels[chosen])
    return network


def _step(network: Network, images: np.ndarray, labels: np.ndarray) -> None:
    """One step down the gradient of the cross-entropy, in place."""
    relu, softmax = get("relu"), get("softmax")
    z = network.pre_activations(images)
    y = softmax(z[-1])
    loss_gradient = np.zeros_like(y)
    rows = np.arange(len(labels))
    loss_gradient[rows, labels] = -1 / (np.maximum(y[rows, labels], 1e-7) * len(labels))
    gradient = softmax.backward_from_output(loss_gradient, y)
    for k in reversed(range(len(network.layers))):
        weights, bias = network.layers[k]
        below = relu(z[k - 1]) if k else images
        passed = gradient @ weights.T
        weights -= RATE * (below.T @ gradient)
        bias -= RATE * gradient.sum(axis=0)
        if k:
            gradient = relu.backward(passed, z[k - 1])


@functools.cache
def _hidden() -> np.ndarray:
    images, _ = data()
    found = np.concatenate([z.ravel() for z in train().pre_activations(images)[:-1]])
    # Shuffled, so that a small array has both layers and many images too.
    return np.random.default_rng(SEED).permutation(found)


def pre_activations(n: int, dtype: np.dtype | type | str) -> np.ndarray:
    """n pre-activations of the hidden layers over the whole data set, repeated where it is too small."""
    return np.resize(_hidden(), n).astype(dtype)
