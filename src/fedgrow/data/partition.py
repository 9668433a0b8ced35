"""Partitions: who gets which rows of a shared source; ``partition_kinds`` holds the ways to deal them out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedgrow.config.plan import PartitionPlan
from fedgrow.data.examples import Examples
from fedgrow.data.generator import generator
from fedgrow.data.partition_kinds import KINDS, Shards
from fedgrow.errors import FedgrowError


@dataclass(frozen=True)
class Partition:
    """Who got which rows: sorted row indices by participant, and the SHA-256 of their canonical JSON."""

    shards: Shards
    digest: str

    @classmethod
    def of(cls, shards: Shards) -> "Partition":
        """Return the partition of these shards, with its digest."""
        canonical = json.dumps(shards, sort_keys=True, separators=(",", ":"))
        return cls(shards, hashlib.sha256(canonical.encode()).hexdigest())

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"digest": self.digest, "shards": self.shards}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Partition":
        """Return the partition that was written.

        Raises:
            FedgrowError: the shards are not those that the digest was made of.
        """
        made = cls.of({name: list(rows) for name, rows in value["shards"].items()})
        if made.digest != value["digest"]:
            raise FedgrowError(
                f"the partition was changed: its digest is {made.digest}, recorded is "
                f"{value['digest']}; start a new run"
            )
        return made


def partition(examples: Examples, plan: PartitionPlan, names: list[str], seed: int) -> Partition:
    """Deal examples out to participants; no example goes to two, and, but by ``column``, no unit of them.

    Args:
        examples: what there is to deal out.
        plan: kind and settings.
        names: the participants, in the plan's order.
        seed: every draw depends on it.

    Raises:
        FedgrowError: the examples cannot be dealt out so, or a participant gets fewer than ``min_examples``.
    """
    if plan.max_examples is not None and plan.max_examples < plan.min_examples:
        raise FedgrowError(
            f"partition.max_examples is {plan.max_examples}, below partition.min_examples "
            f"{plan.min_examples}; raise the first"
        )
    shards = KINDS[plan.kind](examples, plan, names, generator(seed, f"partition {plan.kind}"))
    for name in names:
        if len(shards[name]) < plan.min_examples:
            raise FedgrowError(
                f"participant {name}: its shard has {len(shards[name])} of {len(examples)} examples, fewer "
                f"than partition.min_examples {plan.min_examples}; lower it, or use more data"
            )
    return Partition.of({name: _capped(shards[name], plan.max_examples, seed, name) for name in names})


def _capped(rows: list[int], most: int | None, seed: int, name: str) -> list[int]:
    if most is not None and len(rows) > most:
        rows = generator(seed, f"max_examples {name}").choice(sorted(rows), most, replace=False).tolist()
    return sorted(rows)
