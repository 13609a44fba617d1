"""What can be chosen when a pipeline is made; all the rest belongs to the weights and is in their bundle."""

from __future__ import annotations

from dataclasses import dataclass

from tinybev.errors import UserError

AUTO = "auto"
BACKENDS = (
    AUTO,
    "torch",
    "torch-bf16",
    "torch-compile",
    "torch-cuda-graphs",
    "openvino",
    "openvino-bf16",
    "openvino-int8",
    "onnxruntime",
)
"""What can run the network; those with bf16, compile and cuda-graphs compute in bfloat16, that with int8 in int8, the
others in float32."""

ALWAYS, NEVER = "always", "never"
EGO_STATUS = (AUTO, ALWAYS, NEVER)
"""Whether the planner is told how the vehicle moves; auto: where the weights were trained with it."""


@dataclass(frozen=True)
class PipelineOptions:
    """Choices of whoever runs the network; the node has a parameter of the same name for each.

    Attributes:
        backend: one of ``BACKENDS``; "auto": openvino on a CPU where it is installed, else torch.
        device: "cpu", "cuda", or "auto": cuda where PyTorch finds it.
        threads: of the network on the CPU; 0 leaves the backend's choice.
        score_threshold: objects below this confidence are left out.
        max_objects: at most this many objects, the best ones; a network finds no more than its ``max_agents``.
        map_threshold: from this probability on a cell belongs to a map class.
        occupancy_threshold: from this probability on a cell counts as occupied by an object.
        refine_plan: move the plan away from predicted occupancy.
        ego_status: one of ``EGO_STATUS``: tell the planner speed, yaw rate and acceleration where they are known.
    """

    backend: str = AUTO
    device: str = "auto"
    threads: int = 0
    score_threshold: float = 0.3
    max_objects: int = 200
    map_threshold: float = 0.5
    occupancy_threshold: float = 0.3
    refine_plan: bool = True
    ego_status: str = AUTO

    def tells_ego_status(self, learnt: bool | None, name: str) -> bool:
        """Whether a planner is told how the vehicle moves.

        Args:
            learnt: whether its weights were trained with it; None where nothing says so.
            name: of the weights, for the error.

        Raises:
            UserError: it is always to be told, and was trained without.
        """
        if self.ego_status == ALWAYS and learnt is False:
            raise UserError(
                f"ego_status: expected weights that were trained with it, {name} was not; choose auto or never."
            )
        return self.ego_status == ALWAYS or (self.ego_status == AUTO and learnt is True)
