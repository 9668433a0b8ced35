"""What can grow and how, as tables made from the declarations: families, exactness, operators, initialisers."""

from fedgrow.architectures import Family, families
from fedgrow.growth import OPERATORS
from fedgrow.growth.exactness import DIRECTIONS, cells
from fedgrow.growth.initialisers import INITIALISERS
from fedgrow.markdown import table

SHORT = {
    "exact": "exact",
    "exact to float32 rounding of the rotary frequencies": "exact (float32 angles)",
    "exact up to the norms' epsilon": "O(epsilon)",
    "approximate": "approximate",
}


def exactness_rows() -> list[list[str]]:
    """Return the exactness table: a row per family, a column per direction."""
    rows = [["family", *(direction.name for direction in DIRECTIONS)]]
    for name, family in families().items():
        found = {cell.direction: SHORT[cell.exactness] for cell in cells(family)}
        rows.append([name, *(found.get(direction.name, "") for direction in DIRECTIONS)])
    return rows


def rule_rows() -> list[list[str]]:
    """Return by which rule each direction keeps the function, families with the same rule together."""
    rows = [["direction", "families", "how"]]
    for direction in DIRECTIONS:
        by_rule: dict[str, list[str]] = {}
        for name, family in families().items():
            if direction.applies(family):
                by_rule.setdefault(direction.rule(family), []).append(name)
        rows += [[direction.name, ", ".join(names), rule] for rule, names in by_rule.items()]
    return rows


def family_rows() -> list[list[str]]:
    """Return the families with what is special about them and the heads that are known."""
    rows = [["family", "what its table declares", "heads"]]
    rows += [[name, _traits(family), ", ".join(family.heads)] for name, family in families().items()]
    return rows


def operator_rows() -> list[list[str]]:
    """Return the operators with what they learn (and, as Global-LiGO, send), and what they may start from."""
    rows = [["operator", "learns, and as Global-LiGO sends", "starts"]]
    rows += [[kind, operator.learns, ", ".join(operator.starts())] for kind, operator in OPERATORS.items()]
    return rows


def initialiser_rows() -> list[list[str]]:
    """Return the initialisers with what they do and where they were published."""
    rows = [["method", "what it does", "source"]]
    for name, method in INITIALISERS.items():
        text = " ".join((type(method).__doc__ or "").split())
        rows.append([name, text, method.source])
    return rows


def exactness_document() -> str:
    """Return the generated part of docs/exactness.md."""
    return "\n".join([*table(exactness_rows()), "", *table(rule_rows())])


def _traits(family: Family) -> str:
    norm = f"{family.norm}-norm {'RMSNorm' if family.norm_kind == 'rms' else 'LayerNorm'}"
    labels = {a for s in family.specs(None) for a in s.axes}
    traits = {
        "gain stored less one": family.gain_offset,
        "embeddings x sqrt(width)": family.embeddings_scaled,
        "epsilon fixed or shared": family.keeps_eps or "norm_eps" not in family.config,
        "rotary positions": family.rotary,
        "grouped-query attention": "kv_heads" in family.config,
        "norms on queries and keys": family.norms_heads,
        "fused q, k, v": any("|" in a or ":" in a for a in labels),
        "head size of its own": family.free_head_size,
        "LayerScale": family.scaled_by,
        "FFN an integer multiple of the width": family.ffn_rule != "size",
        "encoder-decoder": len(family.blocks) > 1,
        "embeddings of a width of their own": "embedding" in labels,
    }
    return ", ".join([norm, *(name for name, holds in traits.items() if holds)])
