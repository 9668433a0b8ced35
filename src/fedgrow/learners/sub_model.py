"""Sub-models of the large model: what HeteroFL's and FedRolex's participants train."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures import read
from fedgrow.architectures.configuration import rope, rotary_share, with_shape
from fedgrow.architectures.models import new_model
from fedgrow.config.plan import Plan
from fedgrow.errors import ShapeError
from fedgrow.growth.cut import Cut
from fedgrow.learners.base import Tensors
from fedgrow.learners.scratch import scratch
from fedgrow.learners.whole_model import WholeModel

WINDOW = "window"  # comes down with the tensors of a round: where the window begins


def sub_config(config: Any, cut: Cut) -> Any:
    """Return the configuration of a sub-model, made from the small model's.

    Raises:
        ShapeError: positions depend on the head size in a way that a cut head does not keep.
    """
    family, sub, large = cut.family, cut.sub, cut.large
    settings = rope(family, config)
    if settings and sub.head_size != large.head_size:
        assert family.rotary is not None
        kind = settings.get("rope_type", "default")
        if kind not in family.rotary.exact_types:
            raise ShapeError(
                f"head_size: positions of type {kind!r} depend on the head size beyond their frequencies; heads of "
                f"{large.head_size} cannot be cut to {sub.head_size}; give the large shape heads of {sub.head_size}"
            )
        if sub.rotating != sub.head_size:
            settings["partial_rotary_factor"] = rotary_share(sub.rotating, sub.head_size)
        elif cut.stage.rotary_step == 1:  # the first pairs keep the large head's frequencies
            settings["rope_theta"] = settings["rope_theta"] ** (sub.head_size / large.head_size)
    return with_shape(config, family, sub, rotary=settings, layers=range(sub.layers))


def sub_model(
    small: nn.Module, plan: Plan, cut: Cut, *, shared: Collection[str], begin: nn.Module | None = None
) -> WholeModel:
    """Make a participant's sub-model.

    Args:
        small: the participant's small model: only its configuration is used.
        plan: the resolved plan.
        cut: which part of the large model it is.
        shared: names of the large model's tensors that are averaged.
        begin: a model of the part's shape whose weights it has at the start; None: fresh ones.
    """
    model = new_model(sub_config(small.config, cut), read(small).head, seed=plan.seed)
    if begin is not None:
        model.load_state_dict(begin.state_dict(), strict=True)
    return WholeModel(model, plan.training.model_learning_rate, shared, plan.training.head_learning_rate)


class RollingSubModel(WholeModel):
    """A sub-model whose window moves from round to round.

    The private tensors are kept at the large model's width, and the same window is cut from them: beside a head of fixed
    entries, every round would hand each entry of the body to another one's weights.

    Args:
        small: the participant's small model: only its configuration is used.
        plan: the resolved plan.
        cut: which part of the large model it is before the window has moved.
        shared: names of the large model's tensors that are averaged.
    """

    def __init__(self, small: nn.Module, plan: Plan, cut: Cut, *, shared: Collection[str]) -> None:
        model = new_model(sub_config(small.config, cut), read(small).head, seed=plan.seed)
        super().__init__(model, plan.training.model_learning_rate, shared, plan.training.head_learning_rate)
        self.cut = cut
        whole = scratch(small, plan, shared=shared).private_start()
        self.whole = {name: t for name, t in whole.items() if name in self.start}

    def private_start(self) -> Tensors:
        """Return the weights that stay, at the large model's width."""
        return dict(self.whole)

    def trained(self) -> int:
        """Count the numbers of the sub-model: what is trained at a time."""
        return sum(tensor.numel() for tensor in self.start.values())

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Put shared weights and the window of the private ones together."""
        offset = int(shared[WINDOW]) if WINDOW in shared else self.cut.offset
        cut = replace(self.cut, offset=offset)
        body = {name: t for name, t in shared.items() if name != WINDOW}
        return super().weights(body, cut.take(private, self.reading.head))

    def sent(self, shared: Tensors, private: Tensors) -> Tensors:
        """Return the shared tensors; where the window begins, the server knows."""
        return {name: t for name, t in shared.items() if name != WINDOW}


def begins_at(offset: int) -> Tensor:
    """Return an offset as the tensor that is sent under ``WINDOW``."""
    return torch.tensor([offset])
