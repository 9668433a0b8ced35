"""Whatever path a weight takes, the grown model computes the same, and so do its gradients."""

import pytest
import torch
from torch.func import functional_call

from fedgrow.architectures import families, read
from fedgrow.growth import grow, stack
from fedgrow.growth.cost import Way, cheapest, cheapest_order
from fedgrow.growth.paths import Paths, choose_paths
from fedgrow.growth.skeleton import skeleton
from tests import zoo
from tests.growth.growing import KINDS, grown_config, noisy, stages, started

# Post-norm with separate weights; fused Conv1D; grouped queries with a gate; interleaved heads.
MODELS = [
    ("bert", "masked-language-modelling"),
    ("gpt2", "causal-language-modelling"),
    ("llama", "sequence-classification"),
    ("gpt_neox", "causal-language-modelling"),
]
LEAVE = {"input side": "r", "output side": "w", "both sides": "rw"}
CLOSE = 1e-9


def larger(family, shape):
    """Return a shape with more of everything: layers, heads and width."""
    sizes = {"layers": shape.layers + 1, "heads": 4, "width": 16, "ffn": 24}
    sizes["kv_heads"] = 2 if shape.kv_heads < shape.heads else 4
    sizes |= {"decoder_layers": shape.layers + 1} if shape.decoder_layers else {}
    return zoo.small_shape(family, head_size=shape.head_size, **sizes)


def small_model(name, head):
    family = families()[name]
    groups = {"kv_heads": 1} if name == "llama" else {}
    return zoo.model(family, head, zoo.small_shape(family, **groups))


def one_stage(small, kind, **settings):
    reading = read(small)
    stage = stages(reading, [larger(reading.family, reading.shape)])[0]
    return [noisy(started(stage, kind, **settings))]


def leaving(sides):
    """Return a chooser that always leaves these sides of a weight to activations: it reads, it writes."""

    def choose(weight, tokens, shared):
        (reads,) = shared
        leave = {dim for dim in weight.sides if ("r" if dim == reads else "w") in sides}
        return Way(frozenset(leave), cheapest_order(weight, leave))

    return choose


def run(small, operators, paths):
    """Return outputs, and gradients of every operator's arrays and every small tensor."""
    reading = read(small)
    stacked = {n: t.detach().requires_grad_() for n, t in stack(reading, small.state_dict()).items()}
    arrays = [{n: a.detach().requires_grad_() for n, a in applied.arrays.items()} for applied in operators]
    applied = [type(a)(a.operator, mine) for a, mine in zip(operators, arrays, strict=True)]
    tensors = grow(reading, stacked, applied, factored_vocabulary=True, paths=paths)
    module = skeleton(reading, grown_config(small, [a.operator.stage for a in operators]), paths).eval()
    zoo.exact_embedding_scale(module)
    assert set(tensors) == set(module.state_dict())
    with zoo.norms_in_float64():
        out = functional_call(module, tensors, (), zoo.inputs(reading.family, reading.head))
    y = out.logits if "logits" in out else out[0]
    learned = [*stacked.items(), *(pair for mine in arrays for pair in mine.items())]
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=y.dtype)
    gradients = torch.autograd.grad((y * weights).sum(), [t for _, t in learned], allow_unused=True)
    return y.detach(), {f"{i}/{n}": g for i, ((n, _), g) in enumerate(zip(learned, gradients, strict=True))}


def assert_agree(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=CLOSE, atol=CLOSE * float(expected[0].abs().max()))
    for name, gradient in expected[1].items():
        if gradient is None:
            assert found[1][name] is None, name
            continue
        scale = max(1e-3, float(gradient.abs().max()))
        torch.testing.assert_close(found[1][name], gradient, rtol=CLOSE, atol=CLOSE * scale, msg=name)


def paths_for(small, operators, choose, tokens=64):
    reading = read(small)
    return choose_paths(reading, stack(reading, small.state_dict()), operators, tokens, choose=choose)


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "head"), MODELS, ids=[name for name, _ in MODELS])
def test_every_path_agrees_with_materialising(name, head, kind, leave):
    small = small_model(name, head)
    operators = one_stage(small, kind)
    paths = paths_for(small, operators, leaving(leave))
    assert bool(paths.chosen) == (kind != "dense")  # a map for every layer is always multiplied out
    assert_agree(run(small, operators, paths), run(small, operators, None))


@pytest.mark.parametrize("name", families())
def test_every_family_agrees_with_both_sides_left_to_activations(name):
    small = small_model(name, next(iter(families()[name].heads)))
    operators = one_stage(small, "low-rank")
    paths = paths_for(small, operators, leaving("rw"))
    assert paths.chosen
    assert_agree(run(small, operators, paths), run(small, operators, None))


@pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE)
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_the_residual_term_is_added_on_every_path(name, leave):
    small = small_model(name, next(iter(families()[name].heads)))
    operators = one_stage(small, "low-rank", residual=2)
    paths = paths_for(small, operators, leaving(leave))
    assert all(path.residual for path in paths.chosen.values())
    assert_agree(run(small, operators, paths), run(small, operators, None))


@pytest.mark.parametrize("tokens", [1, 64, 1_000_000])
@pytest.mark.parametrize(
    "kinds", [("tied", "tied"), ("low-rank", "partial"), ("dense", "low-rank")], ids="-".join
)
@pytest.mark.parametrize(("name", "head"), MODELS[:2], ids=[name for name, _ in MODELS[:2]])
def test_two_operators_agree_whatever_is_cheapest(name, head, kinds, tokens):
    small = small_model(name, head)
    reading = read(small)
    middle = larger(reading.family, reading.shape)
    large = middle.model_copy(update={"layers": middle.layers + 1, "ffn": middle.ffn + 8})
    steps = stages(reading, [middle, large])
    operators = [
        noisy(started(step, kind, seed=i)) for i, (step, kind) in enumerate(zip(steps, kinds, strict=True))
    ]
    paths = paths_for(small, operators, cheapest, tokens)
    assert_agree(run(small, operators, paths), run(small, operators, Paths()))


def test_query_key_and_value_share_the_pulled_activations():
    small = small_model("bert", "sequence-classification")
    operators = one_stage(small, "low-rank")
    paths = paths_for(small, operators, leaving("r"))
    reading = read(small)
    module = skeleton(reading, grown_config(small, [a.operator.stage for a in operators]), paths).eval()
    tensors = grow(
        reading, stack(reading, small.state_dict()), operators, factored_vocabulary=True, paths=paths
    )
    attention = module.get_submodule("bert.encoder.layer.0.attention.self")
    recent, pulled = attention.query.recent, []
    original = recent.pull
    recent.pull = lambda *args: pulled.append(original(*args)) or pulled[-1]
    functional_call(module, tensors, (), zoo.inputs(reading.family, reading.head))
    assert pulled[0] is pulled[1] is pulled[2]
    assert pulled[3] is not pulled[0]
    assert recent.pulled is None  # nothing outlives the call
