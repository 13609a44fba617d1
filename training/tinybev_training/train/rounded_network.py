"""A student that trains as the int8 backend computes it: quantization-aware training, with ranges taken batch by batch.

Inputs of a layer are rounded to 256 steps between the batch's least and greatest value (0 included), weights to 255
steps about 0 for each output channel. A backend folds batch normalisation into the weights before it rounds them; that
scales whole output channels, so the steps are the same. Gradients pass rounding as if it were not there (Bengio et al.,
"Estimating or Propagating Gradients Through Stochastic Neurons"). Nothing is kept from step to step, and weights stay
in float32: what is trained is an ordinary bundle whose weights bear rounding, to be calibrated as any other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import Student, StudentOutputs
from tinybev.runtime.backends.int8_layers import int8_layers
from tinybev.runtime.backends.openvino_int8 import KEPT
from tinybev_training.data.batch import Batch
from tinybev_training.train.inputs import Told, inputs_of_views, plan_conditions
from tinybev_training.train.network import StudentNetwork

_INPUT_LEVELS = 255
_WEIGHT_LEVELS = 127
_LEAST_STEP = 1e-8
"""Of the scale: a channel of zeros has one too."""


class RoundedStudentNetwork(StudentNetwork):
    """A student without memory whose layers take rounded inputs and weights: those that are int8 by default."""

    def __init__(self, student: Student) -> None:
        super().__init__(student)
        self._rounded = int8_layers(student, KEPT)
        for name in self._rounded:
            student.get_submodule(name).register_forward_pre_hook(_round_input)

    def forward(self, batch: Batch, told: Told, agents: Peaks | None = None) -> StudentOutputs:
        """As the student's own."""
        inputs = inputs_of_views(batch, self.config, plan_conditions(batch, told))
        weights = {f"{name}.weight": self._weight(name) for name in self._rounded}
        outputs: StudentOutputs = functional_call(self.student, weights, (inputs, None, agents))
        return outputs

    def _weight(self, name: str) -> Tensor:
        return rounded_weight(self.student.get_submodule(name).weight)  # type: ignore[arg-type]


def rounded_weight(weight_O: Tensor) -> Tensor:
    """Weights of any shape with the output channels first, rounded channel by channel."""
    step_O = (weight_O.detach().flatten(1).abs().amax(dim=1) / _WEIGHT_LEVELS).clamp(min=_LEAST_STEP)
    zero_O = torch.zeros_like(step_O, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight_O, step_O, zero_O, 0, -_WEIGHT_LEVELS, _WEIGHT_LEVELS)


def rounded_input(values: Tensor) -> Tensor:
    """Values rounded between their least and their greatest, as float32."""
    low, high = values.detach().float().aminmax()
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    step = ((high - low) / _INPUT_LEVELS).clamp(min=_LEAST_STEP)
    zero = (-low / step).round().clamp(0, _INPUT_LEVELS).int()
    return torch.fake_quantize_per_tensor_affine(values.float(), step, zero, 0, _INPUT_LEVELS)


def _round_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (rounded_input(inputs[0]), *inputs[1:])
