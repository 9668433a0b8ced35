"""Labels of tensor dimensions: which axis a dimension lies on, and how large it is in a model of a given shape.

A label is either a fixed axis (``vocab``, ``position``, ``label``, ...), which never grows, or ``axis.role`` for an axis
that grows: ``stream.out`` writes the residual stream, ``norm.in`` reads the output of a norm, ``norm.gain`` and
``norm.shift`` are that norm's own vectors, ``query.out``, ``key.out``, ``value.out``, ``value.in``, ``ffn.out`` and
``ffn.in`` speak for themselves. ``query_norm.gain`` and ``key_norm.gain`` are gains of norms inside a head,
``head.out`` is one entry for each head, ``scale.gain`` a factor on what is written into the stream (LayerScale);
``pooled.*`` and ``transform.*`` live in private heads.

Several labels joined by ``|`` stand for parts laid one after the other in one fused dimension; joined by ``:`` the
parts alternate head by head (GPT-NeoX).
"""

from fedgrow.architectures.shape import Shape

FIXED_AXES = frozenset(
    {"vocab", "position", "token_type", "label", "channel", "patch", "one", "bucket", "embedding"}
)
BODY_AXES = (
    "stream.out",
    "norm.gain",
    "norm.shift",
    "norm.in",
    "query.out",
    "key.out",
    "value.out",
    "value.in",
    "ffn.out",
    "ffn.in",
)
# Nothing is learned for these: they follow from the shapes alone.
STRUCTURAL_AXES = (
    "query_norm.gain",
    "key_norm.gain",
    "head.out",
    "scale.gain",
    "pooled.out",
    "pooled.in",
    "transform.out",
    "transform.gain",
    "transform.shift",
    "transform.in",
)
KNOWN_AXES = FIXED_AXES.union(BODY_AXES, STRUCTURAL_AXES)
Axes = tuple[str, ...]


def parts(label: str) -> list[str]:
    """Return the labels that a fused dimension is made of; a plain one is its own only part."""
    return label.replace(":", "|").split("|")


def grows(label: str) -> bool:
    """Whether a labelled dimension grows."""
    return "." in label


def axis_size(label: str, shape: Shape) -> int | None:
    """Return the size of a labelled dimension in a model of this shape; None for an axis that never grows."""
    if not grows(label):
        return None
    pieces = parts(label)
    if len(pieces) > 1:
        return sum(axis_size(piece, shape) or 0 for piece in pieces)
    axis = label.partition(".")[0]
    if axis == "query" or label == "value.in":
        return shape.heads * shape.head_size
    if axis in ("key", "value"):
        return shape.kv_heads * shape.head_size
    if axis in ("query_norm", "key_norm"):
        return shape.head_size
    if axis == "head":
        return shape.heads
    return shape.ffn if axis == "ffn" else shape.width
