"""What a participant trains, one method per file: tensors that travel, tensors that stay, and the model they make."""

from fedgrow.learners.base import Group, Learner, Phase, Tensors
from fedgrow.learners.dual_ligo import DualLigo
from fedgrow.learners.ligo import Ligo
from fedgrow.learners.whole_model import WholeModel

__all__ = ["DualLigo", "Group", "Learner", "Ligo", "Phase", "Tensors", "WholeModel"]
