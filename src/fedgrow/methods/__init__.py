"""What a participant trains, one method per file: tensors that travel, tensors that stay, and the model they make."""

from fedgrow.methods.base import Group, Learner, Phase, Tensors
from fedgrow.methods.dual_ligo import DualLigo
from fedgrow.methods.ligo import Ligo
from fedgrow.methods.whole_model import WholeModel

__all__ = ["DualLigo", "Group", "Learner", "Ligo", "Phase", "Tensors", "WholeModel"]
