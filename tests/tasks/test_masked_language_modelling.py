"""Masked language modelling: what is hidden, what is asked, and how it is scored."""

import math

import pytest
import torch

from fedgrow.data.examples import Examples
from fedgrow.errors import FedgrowError
from fedgrow.tasks import TASKS, Encoded
from fedgrow.tasks.masked_language_modelling import IGNORED, MaskedCodec, MaskedLanguageModelling
from fedgrow.tasks.tokenizers import learn
from tests.tasks.making import codec, entry, tokenizer

TASK = "masked-language-modelling"
SHARD = Examples(["one two three four " * 30, "four three " * 40])


def made(folder, length: int = 20, seed: int = 0, **changes) -> MaskedCodec:
    who = entry(tokenizer=str(tokenizer(folder, mask=True)))
    return codec(TASK, SHARD, who, training={"max_length": length}, seed=seed, **changes)


def test_it_is_registered_under_the_name_of_its_head():
    assert isinstance(TASKS[TASK], MaskedLanguageModelling)


def test_blocks_begin_and_end_as_the_model_is_used_to(tmp_path):
    it = made(tmp_path)
    rows = it.encode(SHARD).inputs
    assert {len(row) for row in rows} == {20}
    assert {(int(row[0]), int(row[-1])) for row in rows} == {
        (it.tokenizer.cls_token_id, it.tokenizer.sep_token_id)
    }


def test_targets_are_what_was_hidden_and_nothing_special(tmp_path):
    it = made(tmp_path)
    encoded = it.encode(SHARD)
    inputs, targets = it.batch(encoded, range(len(encoded)))
    rows = torch.stack(list(encoded.inputs))
    hidden = targets != IGNORED
    assert torch.equal(targets[hidden], rows[hidden])
    assert torch.equal(inputs["input_ids"][~hidden], rows[~hidden])
    assert not torch.isin(targets[hidden], torch.tensor(it.tokenizer.all_special_ids)).any()
    assert hidden.sum(1).tolist() == [3] * len(rows)  # 15% of 20


def test_most_are_masked_some_replaced_some_kept():
    it = MaskedCodec(learn(["a b c"], 300), 200, 0)
    it.tokenizer.add_special_tokens({"mask_token": "<mask>"})
    rows = torch.randint(2, 200, (400, 200), generator=torch.Generator().manual_seed(0))
    inputs, targets = it.batch(Encoded(list(rows), None), range(400))
    hidden = targets != IGNORED
    seen = inputs["input_ids"][hidden]
    masked = float((seen == it.tokenizer.mask_token_id).float().mean())
    kept = float((seen == targets[hidden]).float().mean())
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1, abs=0.02)


def test_the_same_batch_hides_the_same_and_another_batch_or_seed_something_else(tmp_path):
    it, other = made(tmp_path / "a"), made(tmp_path / "b", seed=1)
    encoded = it.encode(SHARD)

    def hidden(of: MaskedCodec, indices: list[int]) -> list[int]:
        return (of.batch(encoded, indices)[1][0] != IGNORED).nonzero().flatten().tolist()

    assert hidden(it, [0, 1]) == hidden(it, [0, 1])
    assert len({tuple(hidden(it, [0, other])) for other in range(5)}) > 1
    assert any(hidden(it, [i]) != hidden(other, [i]) for i in range(5))


def test_the_loss_and_the_metrics_are_of_hidden_tokens_only():
    task = TASKS[TASK]
    logits = torch.zeros(1, 3, 4)
    logits[0, 1, 2] = 50.0
    targets = torch.tensor([[IGNORED, 2, IGNORED]])
    assert float(task.loss(logits, targets)) == pytest.approx(0.0, abs=1e-6)
    wrong = torch.tensor([[1, IGNORED, IGNORED]])
    scores = task.score([task.tally(logits, targets), task.tally(logits, wrong)])
    assert scores["perplexity"] == pytest.approx(math.exp(math.log(4) / 2))
    assert scores["accuracy"] == 0.5  # all logits equal: the first word is guessed
    assert tuple(scores) == task.metrics


def test_a_learned_tokenizer_gets_a_mask_token():
    it = codec(TASK, SHARD, entry(), training={"max_length": 20})
    assert it.config_values()["vocab_size"] == it.tokenizer.mask_token_id + 1
    assert it.encode(SHARD)


def test_a_tokenizer_of_a_model_without_a_mask_token_is_refused(tmp_path):
    who = entry(tokenizer=str(tokenizer(tmp_path)))
    with pytest.raises(
        FedgrowError, match=r"ada: its tokenizer has no mask token.*causal-language-modelling"
    ):
        codec(TASK, SHARD, who)


def test_blocks_without_room_for_a_word_are_refused(tmp_path):
    it = made(tmp_path, length=2)
    with pytest.raises(FedgrowError, match="max_length"):
        it.encode(SHARD)


def test_a_batch_without_a_token_that_can_be_hidden_costs_nothing():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    loss = TASKS[TASK].loss(logits, torch.full((2, 3), IGNORED))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_texts_in_a_script_that_the_tokenizer_does_not_know_are_refused(tmp_path):
    with pytest.raises(FedgrowError, match="of 1 texts every token is a special one"):
        made(tmp_path).encode(Examples(["что это " * 40]))
