"""Resolving: everything that can be refused before a run starts is."""

import pytest

from fedgrow.architectures import Shape
from fedgrow.errors import FedgrowError, ShapeError
from fedgrow.federated.resolve import resolve
from tests.architectures.folders import edit_config, folder
from tests.config.parsing import VIT, parsed, participants
from tests.tasks.making import tokenizer


def refusal(*settings: str, **changes) -> str:
    with pytest.raises(FedgrowError) as caught:
        resolve(parsed(*settings, **changes))
    return str(caught.value)


def shape(**axes: int) -> dict[str, int]:
    return VIT | axes


def test_auto_finds_the_smallest_intermediate_shape():
    plan = resolve(parsed("intermediate=auto"))
    assert plan.intermediate == Shape(layers=2, width=16, heads=2, ffn=12)


def test_a_named_intermediate_shape_stays():
    assert resolve(parsed()).intermediate == Shape(layers=2, width=16, heads=2, ffn=16)


def test_resolving_twice_changes_nothing():
    plan = resolve(parsed("intermediate=auto"))
    assert resolve(plan) == plan


def test_the_family_is_taken_from_a_model(tmp_path):
    folder(tmp_path / "m", "vit")
    people = participants(str(tmp_path / "m"), VIT)
    assert resolve(parsed(participants=people, without="family")).family == "vit"


def test_a_model_too_large_for_the_large_shape_is_named_before_auto_looks():
    people = participants(VIT, shape(width=9, heads=3))
    text = refusal("intermediate=auto", participants=people, large=shape(layers=2, width=14, heads=2, ffn=16))
    assert "participant p1 to the large shape: cannot grow heads from 3 to 2" in text


def test_auto_says_what_stands_in_the_way(tmp_path):
    for name, size, heads in (("m8", 8, 2), ("m12", 12, 2)):
        folder(tmp_path / name, "bert", hidden_size=size, num_attention_heads=heads)
    people = participants(*(str(tmp_path / n) for n in ("m8", "m12")))
    large = {"layers": 2, "width": 32, "heads": 4, "ffn": 48}
    text = refusal(
        "intermediate=auto", task="sequence-classification", without="family", participants=people,
        large=large, model_settings={},
    )  # fmt: skip
    assert "intermediate: auto found nothing" in text
    assert "multiple of 24" in text
    assert "the large width 32" in text


@pytest.mark.parametrize(
    ("axis", "small", "large", "sizes"),
    [
        ("layers", {"layers": 3}, {"layers": 2}, "from 3 to 2"),
        ("width", {"width": 18}, {"width": 16}, "from 18 to 16"),
        ("heads", {"width": 8, "heads": 4}, {"heads": 2}, "from 4 to 2"),
        ("head_size", {"width": 16, "heads": 1}, {"heads": 2}, "from 16 to 8"),
        ("ffn", {"ffn": 20}, {"ffn": 16}, "from 20 to 16"),
    ],
)
def test_a_model_too_large_for_the_intermediate_shape_is_named(axis, small, large, sizes):
    people = participants(VIT, shape(**small))
    middle = {"layers": 2, "width": 16, "heads": 2, "ffn": 16} | large
    huge = {"layers": 4, "width": 64, "heads": 4, "ffn": 64}
    with pytest.raises(
        ShapeError, match=f"participant p1 to the intermediate shape: cannot grow {axis} {sizes}"
    ):
        resolve(parsed(participants=people, intermediate=middle, large=huge))


def test_an_intermediate_shape_beyond_the_large_one_is_refused():
    assert "the intermediate to the large shape: cannot grow ffn from 30 to 24" in refusal(
        "intermediate.ffn=30"
    )


def test_a_missing_model_folder_is_named_with_its_participant(tmp_path):
    text = refusal(participants=participants(VIT, str(tmp_path / "gone")))
    assert "participant p1" in text
    assert "gone" in text


def test_two_families_are_refused(tmp_path):
    for name in ("vit", "bert"):
        folder(tmp_path / name, name)
    people = participants(str(tmp_path / "vit"), str(tmp_path / "bert"))
    text = refusal(participants=people, without="family")
    assert "participant p1: its model is a bert, the others' a vit" in text


def test_a_family_without_a_table_is_refused(tmp_path):
    folder(tmp_path / "m", "vit")
    edit_config(tmp_path / "m", model_type="mpnet")
    assert "participant p0: model_type 'mpnet' has no growth table" in refusal(
        participants=participants(str(tmp_path / "m"))
    )


def test_a_task_without_a_head_is_refused():
    text = refusal("task=causal-language-modelling")
    assert "task causal-language-modelling: vit has no such head; it has image-classification" in text


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (
            "operator.kind=magic",
            "operator.kind: 'magic' is unknown; choose from dense, tied, partial, low-rank, fixed",
        ),
        ("local_operator.kind=magic", "local_operator.kind: 'magic' is unknown"),
        ("local_operator.seed=0", "local_operator.seed: it is of Global-LiGO; set it under operator"),
        ("local_operator.turns=[[x]]", "local_operator.turns: it is of Global-LiGO"),
        ("strategy.name=Magic", "strategy.name: 'Magic' is unknown; choose from FedAvg"),
        ("baselines=[magic]", "baselines: 'magic' is unknown; choose from small"),
    ],
)
def test_what_is_not_registered_is_named(setting, named):
    assert named in refusal(setting)


def test_a_rank_where_there_is_none_is_refused_by_setting():
    assert "local_operator: tied has no rank, but rank 3 was given" in refusal("local_operator.rank=3")


@pytest.mark.parametrize("start", ["xavier", "nowhere"])
def test_a_start_that_the_kind_does_not_have_is_refused_by_setting(start):
    text = refusal(f"operator.start={start}")
    assert (
        f"operator: low-rank: start '{start}' is unknown or does not fit; choose from exact, zero-block"
        in text
    )
    assert "local_operator: tied: start 'aki' is unknown or does not fit" in refusal(
        "local_operator.start=aki"
    )


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (
            {"name": "FedAvg", "options": {"eta": 0.1}},
            "strategy FedAvg: it has no option 'eta'",
        ),
        (
            {"name": "FedAvg", "options": {"min_train_nodes": 1}},
            "it has no option 'min_train_nodes'",
        ),
        (
            {"name": "FedTrimmedAvg", "options": {"beta": 3}},
            "strategy FedTrimmedAvg: `beta` must be in the range",
        ),
    ],
)
def test_a_wrong_option_of_the_strategy_is_refused(strategy, reason):
    assert reason in refusal(strategy=strategy)


KRUM, BULYAN = ("Krum", 7, 2), ("Bulyan", 7, 1)  # each with participants and malicious ones, as few as may be
QUORUM = {"faults": {"mode": "quorum", "quorum": 0.6}}


@pytest.mark.parametrize(
    ("strategy", "sites", "changes", "fewest"),
    [
        (KRUM, False, {}, 7),
        (KRUM, True, {}, 7),
        (KRUM, False, QUORUM, 7),  # simulated: all answer
        (KRUM, True, QUORUM, 5),
        (BULYAN, True, QUORUM, 5),
        (("MultiKrum", 12, 2), True, QUORUM, 8),
        (("MultiKrum", 12, 2), True, QUORUM | {"schedule": {"participation": 0.6}}, 5),
        (BULYAN, False, {"schedule": {"participation": 0.5}}, 4),
        (("Bulyan", 6, 1), False, {}, 6),
    ],
)
def test_a_strategy_has_the_answers_that_it_needs_whoever_is_away(strategy, sites, changes, fewest):
    name, people, malicious = strategy
    settings = {
        "strategy": {"name": name, "options": {"num_malicious_nodes": malicious}},
        "participants": participants(*[None if sites else VIT] * people),
        **changes,
    }
    if fewest >= 7:
        resolve(parsed(**settings))
    else:
        with pytest.raises(
            FedgrowError, match=f"{name}: it needs at least 7 answers .* a round close with {fewest}; name"
        ):
            resolve(parsed(**settings))


def test_a_right_option_of_the_strategy_is_taken():
    assert resolve(parsed(strategy={"name": "FedAdam", "options": {"eta": 0.01}})).strategy.options == {
        "eta": 0.01
    }


def test_a_baseline_that_does_not_fit_the_task_is_refused():
    assert "baselines: tfidf fits sequence-classification" in refusal("baselines=[tfidf]")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("patchsize", "configuration has no such value"), ("hidden_size", "each participant's model says it")],
)
def test_a_model_setting_that_would_do_nothing_or_harm_is_refused(name, reason):
    text = refusal(f"model_settings.{name}=2")
    assert f"model_settings.{name}: " in text
    assert reason in text


# shapes that the family cannot have are named by their setting


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("large.head_size=5", "large.head_size: 2 heads of 5 make 10, but the width is 24"),
        ("intermediate.head_size=5", "intermediate.head_size: 2 heads of 5 make 10, but the width is 16"),
        (
            "participants.1.model.head_size=5",
            "participant bob: model.head_size: 1 heads of 5 make 5, but the width is 8",
        ),
        (
            "large.kv_heads=1",
            "large.kv_heads: vit has no grouped-query attention, so kv_heads must equal heads (2), found 1",
        ),
        ("intermediate.rotary=2", "intermediate.rotary: vit has no rotary positions, but the shape says 2"),
        ("large.decoder_layers=2", "large.decoder_layers: vit has no decoder_layers, but the shape says 2"),
    ],
)
def test_a_shape_that_the_family_cannot_have_is_refused_by_setting(setting, text):
    assert text in refusal(setting)


LANGUAGE = {"task": "causal-language-modelling", "model_settings": {}, "intermediate": "auto"}


def test_a_free_head_size_is_taken_where_the_family_has_one():
    small = shape(head_size=8, kv_heads=1)
    plan = parsed(
        **LANGUAGE,
        family="qwen3",
        participants=participants(small, VIT | {"kv_heads": 1}),
        large=small | {"layers": 2},
    )
    assert resolve(plan).intermediate == Shape(**small, rotary=8)


def test_how_much_of_a_head_turns_is_that_of_the_models_and_kept():
    people = participants({"layers": 1, "width": 64, "heads": 2}, {"layers": 1, "width": 128, "heads": 4})
    plan = resolve(
        parsed(
            **LANGUAGE, family="gpt_neox", participants=people, large={"layers": 2, "width": 256, "heads": 4}
        )
    )
    assert (plan.intermediate.width, plan.intermediate.rotary) == (
        128,
        8,
    )  # a quarter of 32, GPT-NeoX's own share
    assert (plan.large.head_size, plan.large.rotary) == (64, 8)


def test_a_model_whose_heads_turn_by_another_part_is_refused():
    people = participants(
        {"layers": 1, "width": 64, "heads": 2, "rotary": 4}, {"layers": 1, "width": 64, "heads": 2}
    )
    text = refusal(
        **LANGUAGE, family="gpt_neox", participants=people, large={"layers": 2, "width": 256, "heads": 4}
    )
    assert "rotary: heads of 32 with 8 rotary dimensions become heads of 64 with 8, not 4" in text


def test_groups_that_do_not_fit_are_refused_with_a_number_that_does():
    small = shape(width=16, heads=8, kv_heads=2)
    plan = {
        "family": "qwen2",
        "participants": participants(small),
        "large": small | {"layers": 2, "kv_heads": 4, "heads": 4},
    }
    assert "cannot grow heads from 8 to 4" in refusal(**LANGUAGE | plan)
    plan["large"] = shape(width=18, heads=9, kv_heads=3, ffn=16)
    assert "8 heads in 2 groups do not fit into 9 heads in 3 groups; choose kv_heads=9" in refusal(
        **LANGUAGE | plan
    )


def test_settings_that_make_a_model_of_another_table_are_refused():
    plan = LANGUAGE | {
        "task": "image-classification",
        "family": "dinov2-swiglu",
        "participants": participants(VIT),
    }
    text = refusal(**plan)
    assert "participant p0: model.family: these settings and shape make a dinov2, not a dinov2-swiglu" in text
    assert "model_settings such that use_swiglu_ffn=True" in text


def test_model_settings_choose_the_table():
    plan = LANGUAGE | {
        "task": "image-classification",
        "family": "dinov2-swiglu",
        "participants": participants(VIT),
    }
    large = {"layers": 2, "width": 16, "heads": 2, "ffn": 16}
    resolved = resolve(parsed(**plan | {"model_settings": {"use_swiglu_ffn": True}, "large": large}))
    assert resolved.family == "dinov2-swiglu"


def test_settings_that_make_no_model_at_all_are_refused():
    plan = LANGUAGE | {
        "family": "llama",
        "participants": participants(VIT),
        "model_settings": {"vocab_size_": 3},
    }
    assert "model_settings.vocab_size_: a llama configuration has no such value" in refusal(**plan)
    plan["model_settings"] = {"hidden_act": 3}
    assert "participant p0: no llama can be made with model_settings {'hidden_act': 3}" in refusal(**plan)


def test_a_turn_of_arrays_that_there_are_not_is_refused():
    text = refusal('operator={kind: tied, turns: [["map/*", "depth*"], ["mapp/*"]]}')
    assert text.startswith("operator.turns: no array is called 'mapp/*'; there are ")
    assert " such as map/" in text


def test_a_text_model_without_a_tokenizer_is_refused(tmp_path):
    folder(tmp_path / "m", "bert")
    settings = {"task": "sequence-classification", "without": "family", "model_settings": {}}
    people = participants(str(tmp_path / "m"))
    text = refusal(
        "intermediate=auto", participants=people, large=shape(layers=3, width=16, ffn=24), **settings
    )
    assert text.startswith("participant p0: ")
    assert "put tokenizer.json there, or name another one as participants[].tokenizer" in text


def test_a_tokenizer_with_more_entries_than_the_models_vocabulary_is_refused(tmp_path):
    """Before a run begins: the model would be asked for rows that it does not have."""
    folder(tmp_path / "m", "bert", vocab_size=5)
    tokenizer(tmp_path / "m")
    settings = {"task": "sequence-classification", "without": "family", "model_settings": {}}
    people = participants(str(tmp_path / "m"))
    text = refusal(
        "intermediate=auto", participants=people, large=shape(layers=3, width=16, ffn=24), **settings
    )
    assert text.startswith("participant p0: its tokenizer has 8 entries, its model's vocabulary 5")


T5 = {"layers": 1, "decoder_layers": 1, "width": 8, "heads": 2, "ffn": 8}


@pytest.mark.parametrize("task", ["sequence-classification", "question-answering"])
def test_a_decoder_is_not_made_in_the_run(task):
    text = refusal(participants=participants(T5), family="t5", task=task, large=T5, model_settings={})
    assert f"participant p0: for {task} a t5 is not made in the run" in text
    assert "name a folder or hub id as its model" in text


def test_an_encoder_without_its_decoder_is():
    changes = {"participants": participants(T5), "family": "t5", "model_settings": {}}
    changes |= {"intermediate": T5, "large": T5}
    assert resolve(parsed(task="token-classification", **changes)).family == "t5"
