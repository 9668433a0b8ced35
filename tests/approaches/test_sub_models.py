"""HeteroFL and FedRolex as federations: what travels, what is averaged, and what is refused."""

import shutil

import pytest
import torch
from transformers import AutoModel

from fedgrow.approaches import APPROACHES
from fedgrow.approaches.rounds import count
from fedgrow.architectures import Shape, families, read
from fedgrow.errors import ShapeError
from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.federated.resolve import resolve
from fedgrow.federated.simulate import forget
from fedgrow.growth.cut import Piece, put_together
from fedgrow.learners.sub_model import WINDOW
from fedgrow.learners.whole_model import body_names
from tests.approaches.federating import SHAPES, Heard, Pull, begin, federate, sites
from tests.approaches.test_common_model import BERT, GLOSSES, texts
from tests.e2e.test_shipped_plans import tiny_bert
from tests.federation import tiny_plan

NAMES = ["heterofl", "fedrolex"]
HEAD = "image-classification"


@pytest.fixture(scope="module", params=NAMES)
def heard(request, tmp_path_factory):
    run, tap = begin(tmp_path_factory.mktemp("parts") / "run", request.param), Heard()
    start = APPROACHES[request.param].start(run)
    federate(run, request.param, tap)
    return request.param, run, start, tap.messages


def test_what_travels_has_exactly_the_sizes_of_each_participants_own_model(heard):
    name, run, _, messages = heard
    for way, index, kind, arrays, _ in messages:
        small = sites(run, name)[index].small_model
        sizes = {n: small.state_dict()[n].shape for n in body_names(read(small), vocabulary=False)}
        extra = {WINDOW} if (name, way) == ("fedrolex", "down") else set()
        assert kind in ("train.grow", "evaluate.grow")
        assert {n: t.shape for n, t in arrays.items() if n not in extra} == sizes
        assert set(arrays) - set(sizes) == extra


def test_bytes_differ_by_participant(heard):
    up = {index: size for way, index, _, _, size in heard[3] if way == "up"}
    numbers = {i: sum(t.numel() for t in a.values()) for w, i, _, a, _ in heard[3] if w == "up"}
    assert len(set(up.values())) == len(set(numbers.values())) == 3
    assert sorted(up, key=up.get) == sorted(numbers, key=numbers.get)


def test_the_server_averages_entry_by_entry(heard):
    name, run, held, messages = heard
    people = len(SHAPES)
    for server_round in (1, 2):
        up = [m for m in messages if m[0] == "up"][people * (server_round - 1) : people * server_round]
        cuts = [APPROACHES[name].cut(run, index, server_round) for _, index, *_ in up]
        weights = [len(sites(run, name)[index].train_data) for _, index, *_ in up]
        pieces = [Piece(c, m[3], w) for c, m, w in zip(cuts, up, weights, strict=True)]
        before, held = held, put_together(held, pieces, HEAD)
        for piece, (_, _, _, arrays, _) in zip(pieces, up, strict=True):
            assert all(not torch.equal(t, piece.cut.take(before, HEAD)[n]) for n, t in arrays.items())
    found = Checkpoints(run.approach(name)).last()
    assert found.record.round == 2
    assert all(torch.equal(torch.from_numpy(found.arrays[n]), t) for n, t in held.items())


def test_entries_that_nobody_holds_stay(heard):
    name, run, start, _ = heard
    end = {n: torch.from_numpy(a) for n, a in Checkpoints(run.approach(name)).last().arrays.items()}
    rounds = 2 if name == "fedrolex" else 1
    widest = max(s["width"] for s in SHAPES) + rounds - 1
    gain = (end["vit.layernorm.weight"] != start["vit.layernorm.weight"]).nonzero().flatten()
    assert gain.tolist() == list(range(widest))
    for n, t in start.items():
        assert torch.equal(end[n], t) is ("layers.2." in n)  # no small model has a third layer


def test_a_part_comes_down_as_the_server_holds_it(heard):
    name, run, start, messages = heard
    first = [message for message in messages if message[0] == "down"][: len(SHAPES)]
    assert [index for _, index, *_ in first] == list(range(len(SHAPES)))
    for _, index, kind, arrays, _ in first:
        assert kind == "train.grow"
        expected = APPROACHES[name].cut(run, index, 1).take(start, HEAD)
        assert all(torch.equal(arrays[n], t) for n, t in expected.items())


@pytest.mark.parametrize("after", [13, 20])  # 6 messages to prepare, 12 a round
def test_a_broken_federation_goes_on_to_the_same_end(heard, tmp_path, after):
    name, whole, _, _ = heard
    run = begin(tmp_path / "run", name)
    with pytest.raises(KeyboardInterrupt):
        federate(run, name, Pull(after))
    forget()
    federate(run, name)
    ends = [Checkpoints(folder.approach(name)).last() for folder in (run, whole)]
    assert all((ends[0].arrays[n] == a).all() for n, a in ends[1].arrays.items())
    assert ends[0].record.metrics == ends[1].record.metrics


@pytest.mark.parametrize("name", NAMES)
def test_every_participant_ends_with_a_model_of_its_own_shape(tmp_path, name):
    run = begin(tmp_path / "run", name)
    for site in sites(run, name):
        learner = site.learner
        model = learner.materialise(learner.shared_start(), learner.private_start())
        assert read(model).shape == read(site.small_model).shape
        assert learner.trained() == count(model)


def test_parts_begin_as_public_small_models_and_windows_from_scratch(tmp_path):
    """With one origin and one width, HeteroFL's server begins with the deepest small model."""
    two = tiny_bert(tmp_path / "two", **BERT | {"num_hidden_layers": 2})
    one = tmp_path / "one"
    shutil.copytree(two, one)
    model = AutoModel.from_pretrained(two, add_pooling_layer=False)
    model.encoder.layer = model.encoder.layer[:1]
    model.config.num_hidden_layers = 1
    model.save_pretrained(one)
    people = [{"name": "ada", "model": str(one)}, {"name": "bob", "model": str(two)}]
    data = {"source": texts(tmp_path / "texts.parquet")}
    for name in NAMES:
        run = begin(
            tmp_path / name, name, data=data, participants=people, **GLOSSES | {"prepare": {"steps": 0}}
        )
        for site, public in zip(sites(run, name), (one, two), strict=True):
            down = site.approach.down(run, site.approach.start(run), site.index, 1)
            begun = site.learner.materialise(down, site.learner.private_start()).state_dict()
            theirs = AutoModel.from_pretrained(public, add_pooling_layer=False).state_dict()
            same = [torch.equal(begun[f"bert.{n}"], tensor) for n, tensor in theirs.items()]
            assert all(same) is (name == "heterofl")


def test_every_entry_of_the_width_is_reached_by_a_window_that_moves(tmp_path):
    run = begin(tmp_path / "run", "fedrolex")
    seen = {
        entry
        for server_round in range(1, 25)
        for index in range(3)
        for entry in APPROACHES["fedrolex"].cut(run, index, server_round).index("stream.out").tolist()
    }
    assert seen == set(range(24))


def test_a_shape_that_cannot_be_cut_is_refused_before_a_run_begins():
    family = families()["llama"]
    small = Shape(layers=1, width=16, heads=4, kv_heads=1, head_size=4, ffn=16)
    large = {"layers": 2, "width": 32, "heads": 8, "kv_heads": 4, "head_size": 4, "ffn": 32}
    plan = tiny_plan(large=large)
    for name in NAMES:
        with pytest.raises(ShapeError, match="leave this baseline out"):
            APPROACHES[name].check(plan, family, [small])
        resolve(tiny_plan(baselines=[name]))
