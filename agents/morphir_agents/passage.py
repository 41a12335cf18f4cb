"""Forward and backward passes of a plain network, written out as matrix products.

Autograd records every operation, allocates every result and computes gradients for whatever needs
them. For the small networks of reinforcement learning that costs as much as the arithmetic. Here
the results lie in buffers that are allocated once, gradients go straight into the `.grad` of the
network's own parameters, and the caller says which are wanted.

    PASSAGE-1   forward(x) == network(x)
    PASSAGE-2   backward(g) leaves autograd's gradients of sum(g * network(x)) in `.grad`, and
                returns that of x

A network is plain if it is a Sequential of Linear, ReLU and Tanh layers: the multilayer perceptron,
also after it was widened, or deepened by identity layers; of a first or last layer with heads only
the part of one task is touched. Everything else goes through autograd behind the same methods.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from morphir_agents.heads import HeadLayer, used

__all__ = ["Passage", "passage_of"]

_ACTIVATIONS = (nn.ReLU, nn.Tanh)
_LINEAR = (nn.Linear, HeadLayer)


class Passage(ABC):
    """Takes batches of one size through a network and back.

    It is built for a network as it is; after the network was changed, build another. Both methods
    expect gradients to be switched off (`torch.no_grad`), and hooks of the network aren't called.
    """

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """The network's outputs, (batch, outputs); valid until the next call."""

    @abstractmethod
    def backward(self, gradient: Tensor) -> None:
        """Write the parameters' gradients, given that of the last forward pass's outputs."""

    @abstractmethod
    def input_gradient(self, gradient: Tensor) -> Tensor:
        """The gradient of the last inputs; the parameters' are neither computed nor changed."""


def passage_of(network: nn.Module, batch: int) -> Passage:
    """The passage through a network for batches of this size: written out if it is plain."""
    layers = _layers(network)
    return _Plain(layers, batch) if _are_plain(layers) else _Recorded(network)


def _layers(network: nn.Module) -> list[nn.Module]:
    """What is called one after the other; a layer that was inserted lies in a Sequential."""
    if type(network) is not nn.Sequential:
        return [network]
    return [layer for child in network for layer in _layers(child)]


def _are_plain(layers: list[nn.Module]) -> bool:
    """Whether there is nothing but Linear layers, each with at most one activation."""
    kinds = [type(layer) for layer in layers]
    known = all(
        kind in _LINEAR or (kind in _ACTIVATIONS and before in _LINEAR)
        for before, kind in itertools.pairwise([None, *kinds])
    )
    # Each has a weight and a bias of its own: what two share would get the gradient of one.
    parameters = {parameter for layer in layers for parameter in layer.parameters()}
    return known and len(parameters) == 2 * sum(kind in _LINEAR for kind in kinds)


@final
class _Stage:
    """A Linear layer and its activation, with room for outputs and gradients."""

    def __init__(self, layer: nn.Linear, activation: type[nn.Module] | None, batch: int) -> None:
        self._layer, self._activation = layer, activation
        self.weight, self.bias = used(layer, layer.weight, layer.bias)
        self._inputs = self._outputs = self.weight.new_empty(batch, len(self.bias))
        self.gradient = torch.empty_like(self._outputs)
        """That of the outputs, and after `through_activation` that of the linear part."""
        # Whatever other tasks have of the parameters keeps the gradient 0.
        self._gradients = torch.zeros_like(layer.weight), torch.zeros_like(layer.bias)
        self._used_gradients = used(layer, *self._gradients)

    def forward(self, inputs: Tensor) -> Tensor:
        self._inputs = inputs
        outputs = torch.addmm(self.bias, inputs, self.weight.t(), out=self._outputs)
        if self._activation is nn.ReLU:
            outputs.relu_()
        elif self._activation is nn.Tanh:
            outputs.tanh_()
        return outputs

    def through_activation(self) -> None:
        # What autograd calls for these activations; both need the outputs only.
        if self._activation is nn.ReLU:
            torch.ops.aten.threshold_backward.grad_input(
                self.gradient, self._outputs, 0, grad_input=self.gradient
            )
        elif self._activation is nn.Tanh:
            torch.ops.aten.tanh_backward.grad_input(
                self.gradient, self._outputs, grad_input=self.gradient
            )

    def write_gradients(self) -> None:
        weight, bias = self._used_gradients
        torch.mm(self.gradient.t(), self._inputs, out=weight)
        torch.sum(self.gradient, 0, out=bias)
        self._layer.weight.grad, self._layer.bias.grad = self._gradients


@final
class _Plain(Passage):
    def __init__(self, layers: list[nn.Module], batch: int) -> None:
        self._stages = [
            _Stage(layer, type(after) if isinstance(after, _ACTIVATIONS) else None, batch)
            for layer, after in zip(layers, [*layers[1:], None], strict=True)
            if isinstance(layer, nn.Linear)
        ]
        first = self._stages[0].weight
        self._input_gradient = first.new_empty(batch, first.shape[1])

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        for stage in self._stages:
            inputs = stage.forward(inputs)
        return inputs

    @override
    def backward(self, gradient: Tensor) -> None:
        self._back(gradient, parameters=True)

    @override
    def input_gradient(self, gradient: Tensor) -> Tensor:
        self._back(gradient, parameters=False)
        first = self._stages[0]
        return torch.mm(first.gradient, first.weight, out=self._input_gradient)

    def _back(self, gradient: Tensor, parameters: bool) -> None:
        self._stages[-1].gradient.copy_(gradient)
        for i in reversed(range(len(self._stages))):
            stage = self._stages[i]
            stage.through_activation()
            if parameters:
                stage.write_gradients()
            if i > 0:
                torch.mm(stage.gradient, stage.weight, out=self._stages[i - 1].gradient)


@final
class _Recorded(Passage):
    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._inputs = self._outputs = torch.empty(0)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            # A copy: the batch may be written over before the way back.
            self._inputs = inputs.clone().requires_grad_()
            self._outputs = self._network(self._inputs)
        return self._outputs.detach()

    @override
    def backward(self, gradient: Tensor) -> None:
        parameters = [each for each in self._network.parameters() if each.requires_grad]
        gradients = torch.autograd.grad(self._outputs, parameters, gradient)
        for parameter, found in zip(parameters, gradients, strict=True):
            parameter.grad = found

    @override
    def input_gradient(self, gradient: Tensor) -> Tensor:
        return torch.autograd.grad(self._outputs, self._inputs, gradient)[0]
