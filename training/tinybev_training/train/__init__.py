"""The training loop, its recipes and its checkpoints."""

# Lightning imports torchvision, which has to be imported with care first.
import tinybev.model.torchvision_import  # noqa: F401
