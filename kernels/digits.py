"""A small multilayer perceptron trained on handwritten digits with this project's own kernels; real pre-activations.

Forward, backward and softmax are ``kernels.fastest``, or of another backend; matrix products are NumPy's, the images
scikit-learn's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.activations import lookup
from kernels.backends import get

SIZES = (64, 32, 32, 10)
SEED = 20240607
EPOCHS = 15
BATCH = 32
RATE = 0.1
#: A probability below it counts as it.
SMALLEST = 1e-7


@dataclass(frozen=True)
class Network:
    """Layers of one activation, the last one softmax: a (weights, bias) pair each, which training changes in place."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    activation: str = "relu"
    backend: str = "fastest"
    #: The activation's learned parameter, an array of one number for each hidden layer; empty where it has none.
    learned: tuple[np.ndarray, ...] = ()

    @functools.cached_property
    def function(self) -> Any:
        return get(self.activation, self.backend)

    @functools.cached_property
    def softmax(self) -> Any:
        return get("softmax", self.backend)

    def parameters(self, k: int) -> tuple[float, ...]:
        """What the activation of hidden layer k takes beside x."""
        return (float(self.learned[k][0]),) if self.learned else self._given

    @functools.cached_property
    def _given(self) -> tuple[float, ...]:
        record = lookup(self.activation)
        needed = any(p.default is None for p in record.parameters)
        return record.example_parameters if needed else ()

    def pre_activations(self, images: np.ndarray) -> list[np.ndarray]:
        """What each layer feeds its activation, the last one softmax."""
        found, a = [], images
        for k, (weights, bias) in enumerate(self.layers):
            found.append(a @ weights + bias)
            if k < len(self.layers) - 1:
                a = self.function(found[-1], *self.parameters(k))
        return found

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return self.softmax(self.pre_activations(images)[-1])


def network(activation: str, sizes: Sequence[int], rng: np.random.Generator, gain: float = 2.0) -> Network:
    """A network before training: normal weights of variance gain / inputs, no bias.

    Where the activation is a gate, hidden layers feed it pairs: twice as many numbers as they pass on.
    """
    record = lookup(activation)
    pairs = 2 if record.gate else 1
    widths = [*(pairs * width for width in sizes[1:-1]), sizes[-1]]
    layers = [
        (rng.normal(0, np.sqrt(gain / fan_in), (fan_in, width)).astype(np.float32), np.zeros(width, np.float32))
        for fan_in, width in zip(sizes[:-1], widths, strict=True)
    ]
    own = record.learnable
    start = own and (own.example if own.default is None else own.default)
    learned = tuple(np.full(1, start, np.float32) for _ in sizes[1:-1]) if own else ()
    return Network(tuple(layers), activation, learned=learned)


@dataclass(frozen=True)
class Gradients:
    """Of the cross-entropy: by (weights, bias) of each layer, by each learned parameter, by each hidden layer's z."""

    layers: list[tuple[np.ndarray, np.ndarray]]
    learned: list[np.ndarray]
    hidden: list[np.ndarray]


def gradients(net: Network, images: np.ndarray, labels: np.ndarray) -> Gradients:
    """Forward and backward through the network."""
    z = net.pre_activations(images)
    y = net.softmax(z[-1])
    loss_gradient = np.zeros_like(y)
    rows = np.arange(len(labels))
    loss_gradient[rows, labels] = -1 / (np.maximum(y[rows, labels], SMALLEST) * len(labels))
    gradient = net.softmax.backward_from_output(loss_gradient, y)
    layers, learned, hidden = [], [], []
    for k in reversed(range(len(net.layers))):
        below = net.function(z[k - 1], *net.parameters(k - 1)) if k else images
        layers.append((below.T @ gradient, gradient.sum(axis=0)))
        if k:
            passed, own = gradient @ net.layers[k][0].T, net.parameters(k - 1)
            if net.learned:
                learned.append(net.function.backward_parameters(passed, z[k - 1], *own))
            gradient = net.function.backward(passed, z[k - 1], *own)
            hidden.append(gradient)
    return Gradients(layers[::-1], learned[::-1], hidden[::-1])


def step(net: Network, images: np.ndarray, labels: np.ndarray, rate: float = RATE) -> None:
    """One step down the gradient, in place."""
    found = gradients(net, images, labels)
    for (weights, bias), (by_weights, by_bias) in zip(net.layers, found.layers, strict=True):
        weights -= rate * by_weights
        bias -= rate * by_bias
    for own, gradient in zip(net.learned, found.learned, strict=True):
        own -= rate * np.float32(np.sum(gradient))


def epoch(net: Network, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator, rate: float = RATE) -> None:
    """Steps over all images in random order."""
    order = rng.permutation(len(images))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        step(net, images[chosen], labels[chosen], rate)


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
    net = network("relu", SIZES, rng)
    for _ in range(EPOCHS):
        epoch(net, images, labels, rng)
    return net


@functools.cache
def _hidden() -> np.ndarray:
    images, _ = data()
    found = np.concatenate([z.ravel() for z in train().pre_activations(images)[:-1]])
    # Shuffled, so that a small array has both layers and many images too.
    return np.random.default_rng(SEED).permutation(found)


def pre_activations(n: int, dtype: np.dtype | type | str) -> np.ndarray:
    """n pre-activations of the hidden layers over the whole data set, repeated where it is too small."""
    return np.resize(_hidden(), n).astype(dtype)
