"""LoRA (Hu et al., ICLR 2022): a frozen model, and a low-rank term added to every weight matrix of its blocks.

    y = W x + (alpha / rank) up down x

``down`` (rank, read) is drawn at random and ``up`` (written, rank) is zero, so training starts from the model itself.
Activations meet the factors; the weight's own gradient is never made. Only the factors are shared.
"""

import math
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures import read
from fedgrow.architectures.models import empty_model
from fedgrow.config.plan import TrainingPlan
from fedgrow.growth.cost import Way
from fedgrow.growth.factored import Factored, Recent
from fedgrow.growth.paths import Path, reading_dimension
from fedgrow.learners.base import Group, Learner, Phase, Tensors
from fedgrow.learners.frozen import Frozen
from fedgrow.learners.whole_model import filled_model, head_names

LORA = "lora/"


class Lora(Learner):
    """A model of which low-rank terms are trained (shared), and all that is not frozen (private).

    Args:
        model: the model at the start.
        training: rank, alpha and rate of the terms, the rates of head and pooler, and of the rest that is private.
        frozen: names of the tensors that are not trained.
        seed: of the random factors.
    """

    def __init__(
        self,
        model: nn.Module,
        training: TrainingPlan,
        frozen: Collection[str],
        *,
        seed: int,
    ) -> None:
        self.reading, self.training = read(model), training
        self.config: Any = model.config
        self.rank, self.factor, self.seed = training.lora_rank, training.lora_alpha / training.lora_rank, seed
        start = {n: p.detach() for n, p in model.state_dict().items() if n not in self.reading.tied}
        self.frozen = Frozen({n: p for n, p in start.items() if n in frozen})
        self.private = {n: p for n, p in start.items() if n not in frozen}
        # every matrix of the blocks that reads one growing axis and writes another, and which dimension reads
        self.reads = {
            name: dim
            for spec in self.reading.specs
            if spec.in_block and (dim := reading_dimension(spec)) is not None
            for name in spec.names(self.reading.shape)
        }
        self.sizes = {name: tuple(start[name].shape) for name in self.reads}

    @cached_property
    def module(self) -> nn.Module:
        """The module without weights, its matrices with their terms beside them."""
        model, recent = empty_model(self.config, self.reading.head), Recent()
        for name, dim in self.reads.items():
            path = Path(Way(frozenset(), ()), dim, {}, residual=True)
            parent, _, leaf = name.removesuffix(".weight").rpartition(".")
            old = model.get_submodule(f"{parent}.{leaf}")
            bias = getattr(old, "bias", None) is not None
            setattr(model.get_submodule(parent), leaf, Factored(path, bias=bias, recent=recent))
        return model

    def shared_start(self) -> Tensors:
        """Return the factors: ``down`` uniform within 1 / sqrt(read), as a linear layer's own start; ``up`` zero."""
        generator = torch.Generator().manual_seed(self.seed)
        factors = {}
        for name, dim in self.reads.items():
            read, written = self.sizes[name][dim], self.sizes[name][1 - dim]
            draw = 2 * torch.rand(self.rank, read, generator=generator) - 1
            factors[f"{LORA}{name}.down"] = draw / math.sqrt(read)
            factors[f"{LORA}{name}.up"] = torch.zeros(written, self.rank)
        return factors

    def private_start(self) -> Tensors:
        """Return everything that is not frozen."""
        return dict(self.private)

    def groups(self, phase: Phase) -> list[Group]:
        """Train the factors, head and pooler, and what else is private, in every phase."""
        heads = head_names(self.reading)
        factors = tuple(f"{LORA}{name}.{part}" for name in self.reads for part in ("down", "up"))
        groups = [
            Group(factors, self.training.lora_learning_rate),
            Group(tuple(n for n in self.private if n in heads), self.training.head_learning_rate),
            Group(tuple(n for n in self.private if n not in heads), self.training.model_learning_rate),
        ]
        return [group for group in groups if group.names]

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Put frozen and private weights together, ties included, with the factors beside their matrices."""
        weights = {**self.frozen.beside(next(iter(shared.values()))), **private}
        weights |= {name: weights[source] for name, source in self.reading.tied.items()}
        for name in self.reads:
            module = name.removesuffix(".weight")
            weights[f"{module}.residual_down"] = shared[f"{LORA}{name}.down"].mT
            weights[f"{module}.residual_up"] = self.factor * shared[f"{LORA}{name}.up"]
        return weights

    def materialise(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> nn.Module:
        """Return an ordinary model, the terms merged into its weights."""
        weights = {**self.frozen.tensors, **private}
        for name, dim in self.reads.items():
            term = self.factor * shared[f"{LORA}{name}.up"] @ shared[f"{LORA}{name}.down"]
            weights[name] = weights[name] + (term if dim == 1 else term.mT)  # (read, written): GPT-2's layout
        weights |= {name: weights[source] for name, source in self.reading.tied.items()}
        return filled_model(self.config, self.reading.head, weights)
