"""Real folders have quirks: every one of them loads the very weights it holds, or is refused by name."""

import random

import numpy as np
import pytest
import torch

from fedgrow.architectures import families, read
from fedgrow.architectures.models import (
    empty_model,
    hub_id_of,
    load_config,
    load_model,
    meta_model,
    new_model,
)
from fedgrow.errors import ArchitectureError, FedgrowError
from tests import tiny, zoo
from tests.architectures.folders import SHAPE, edit_config, edit_tensors, folder

CLASSIFY, GENERATE = "sequence-classification", "causal-language-modelling"
FILL, IMAGES = "masked-language-modelling", "image-classification"


def same_logits(name, one, other):
    batch = tiny.inputs(name, dtype=torch.float32)
    return torch.equal(tiny.logits(one, batch), tiny.logits(other, batch))


def equal_parameters(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


class TestQuirks:
    @pytest.mark.parametrize(
        ("name", "head"),
        [
            ("bert", CLASSIFY),
            ("bert-mlm", FILL),
            ("vit", IMAGES),
            ("gpt2", GENERATE),
            ("gpt2-classify", CLASSIFY),
            ("llama", GENERATE),
            ("t5", "sequence-to-sequence-language-modelling"),
        ],
    )
    def test_none(self, tmp_path, name, head):
        saved, path = folder(tmp_path, name)
        loaded, new = load_model(path, head)
        assert new == []
        assert same_logits(name, saved, loaded)
        assert not loaded.training

    def test_a_body_without_prefix_and_pooler(self, tmp_path):
        saved, path = folder(tmp_path, "bert-body")
        edit_tensors(path, lambda t: {name: x for name, x in t.items() if not name.startswith("pooler.")})
        loaded, new = load_model(path, CLASSIFY)
        assert new == [
            "bert.pooler.dense.bias",
            "bert.pooler.dense.weight",
            "classifier.bias",
            "classifier.weight",
        ]
        assert same_logits("bert-body", saved, loaded.bert)
        assert read(loaded).shape == SHAPE

    def test_old_names_of_norms(self, tmp_path):
        saved, path = folder(tmp_path, "bert")
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

        def rename(name):
            for new, before in old.items():
                name = name.replace(new, before)
            return name

        edit_tensors(path, lambda t: {rename(name): x for name, x in t.items()})
        loaded, new = load_model(path, CLASSIFY)
        assert new == []
        assert same_logits("bert", saved, loaded)

    def test_float16_storage(self, tmp_path):
        saved, path = folder(tmp_path, "bert")
        edit_tensors(path, lambda t: {name: x.half() for name, x in t.items()})
        edit_config(path, dtype="float16")
        loaded, _ = load_model(path, CLASSIFY)
        assert {p.dtype for p in loaded.parameters()} == {torch.float32}
        assert same_logits("bert", saved.half().float(), loaded)

    @pytest.mark.parametrize(("name", "prefix"), [("bert", "bert."), ("bert-body", "")])
    def test_saved_position_ids(self, tmp_path, name, prefix):
        saved, path = folder(tmp_path, name)
        ids = {f"{prefix}embeddings.position_ids": torch.arange(tiny.POSITIONS)[None]}
        edit_tensors(path, lambda t: t | ids)
        loaded, _ = load_model(path, CLASSIFY if prefix else None)
        assert same_logits(name, saved, loaded)

    def test_constants_of_old_gpt2(self, tmp_path):
        saved, path = folder(tmp_path, "gpt2")
        mask = torch.ones(tiny.POSITIONS, tiny.POSITIONS).tril()[None, None]
        constants = {"h.0.attn.bias": mask, "h.0.attn.masked_bias": torch.tensor(-1e4)}
        edit_tensors(path, lambda t: t | {f"transformer.{name}": x for name, x in constants.items()})
        loaded, _ = load_model(path, GENERATE)
        assert same_logits("gpt2", saved, loaded)

    def test_the_next_sentence_head_of_pre_training(self, tmp_path):
        _, path = folder(tmp_path, "bert-mlm")
        edit_tensors(path, lambda t: t | {"cls.seq_relationship.weight": torch.ones(2, 8)})
        assert load_model(path, FILL)[1] == []

    def test_the_mask_token_of_masked_image_modelling(self, tmp_path):
        saved, path = folder(tmp_path, "vit")
        edit_tensors(path, lambda t: t | {"vit.embeddings.mask_token": torch.ones(1, 1, 8)})
        assert same_logits("vit", saved, load_model(path, IMAGES)[0])

    @pytest.mark.parametrize("named", [["BertForMaskedLM"], [], None])
    def test_the_class_that_a_configuration_names_is_not_asked(self, tmp_path, named):
        saved, path = folder(tmp_path, "bert-mlm")
        edit_config(path, architectures=named)
        assert same_logits("bert-mlm", saved, load_model(path, FILL)[0])

    def test_a_head_s_own_class_where_a_family_has_two_for_a_task(self, tmp_path):
        family = families()["deit"]
        new_model(zoo.config(family, SHAPE), IMAGES, seed=0).save_pretrained(tmp_path)
        edit_config(tmp_path, architectures=["DeiTForImageClassificationWithTeacher"])
        assert type(load_model(tmp_path, IMAGES)[0]).__name__ == "DeiTForImageClassification"

    def test_another_task_s_head_is_left_behind(self, tmp_path):
        saved, path = folder(tmp_path, "bert-mlm")
        loaded, new = load_model(path, CLASSIFY)
        assert "classifier.weight" in new
        assert same_logits("bert-body", saved.bert, loaded.bert)


class TestHubIds:
    @pytest.mark.parametrize("name", ["gpt2", "google/vit-base-patch16-224"])
    def test_a_name_of_the_hub_is_one(self, name):
        assert hub_id_of(name) == name

    @pytest.mark.parametrize("name", ["", "/models/bert", "../bert", "a/b/c", "models/bert small"])
    def test_a_path_is_none(self, name):
        assert hub_id_of(name) is None

    def test_a_folder_is_none_whatever_its_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "gpt2").mkdir()
        assert hub_id_of("gpt2") is None


class TestRefused:
    def test_an_unknown_tensor(self, tmp_path):
        _, path = folder(tmp_path, "bert")
        edit_tensors(path, lambda t: t | {"bert.encoder.layer.0.adapter.weight": torch.ones(3)})
        with pytest.raises(
            ArchitectureError, match=r"does not know tensor bert\.encoder\.layer\.0\.adapter\.weight"
        ):
            load_model(path, CLASSIFY)

    def test_an_unknown_tensor_beside_a_head_of_pre_training(self, tmp_path):
        _, path = folder(tmp_path, "bert-mlm")
        edit_tensors(path, lambda t: t | {"cls.adapter.weight": torch.ones(3)})
        with pytest.raises(ArchitectureError, match=r"does not know tensor cls\.adapter\.weight"):
            load_model(path, CLASSIFY)

    def test_a_missing_body_tensor(self, tmp_path):
        _, path = folder(tmp_path, "bert")
        lost = "bert.encoder.layer.1.output.dense.weight"
        edit_tensors(path, lambda t: {name: x for name, x in t.items() if name != lost})
        with pytest.raises(
            ArchitectureError, match=r"tensor bert\.encoder\.layer\.1\.output\.dense\.weight is missing"
        ):
            load_model(path, CLASSIFY)

    def test_a_tensor_of_another_size(self, tmp_path):
        _, path = folder(tmp_path, "gpt2")
        cut = "transformer.h.1.mlp.c_proj.bias"
        edit_tensors(path, lambda t: t | {cut: t[cut][:5]})
        with pytest.raises(
            ArchitectureError,
            match=r"tensor transformer\.h\.1\.mlp\.c_proj\.bias has shape \(5,\), but .* \(8,\)",
        ):
            load_model(path, GENERATE)

    def test_a_trained_head_with_other_labels(self, tmp_path):
        _, path = folder(tmp_path, "bert")
        with pytest.raises(
            ArchitectureError, match=r"tensor classifier\.bias has shape \(3,\), but .* \(2,\)"
        ):
            load_model(path, CLASSIFY, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})

    def test_a_head_that_the_family_has_not(self, tmp_path):
        _, path = folder(tmp_path, "vit")
        with pytest.raises(FedgrowError, match=f"vit has no head for {CLASSIFY}; it has {IMAGES}"):
            load_model(path, CLASSIFY)

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FedgrowError, match=r"nowhere'.*give a folder that holds config\.json"):
            load_model(tmp_path / "nowhere", CLASSIFY)

    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(FedgrowError, match=r"give a folder that holds config\.json"):
            load_model(tmp_path, CLASSIFY)

    def test_a_configuration_that_its_class_refuses(self, tmp_path):
        _, path = folder(tmp_path, "llama")
        edit_config(path, num_attention_heads=3)
        with pytest.raises(FedgrowError, match="not a multiple of the number of attention heads"):
            load_config(path)

    def test_a_configuration_that_makes_no_model(self, tmp_path):
        _, path = folder(tmp_path, "gpt2")
        edit_config(path, activation_function="foo")
        with pytest.raises(FedgrowError, match="cannot be loaded: nothing is known as 'foo'"):
            load_model(path, GENERATE)
        with pytest.raises(
            FedgrowError, match=r"makes no model \(nothing is known as 'foo'\); correct config"
        ):
            meta_model(load_config(path), GENERATE)

    def test_a_configuration_without_heads(self, tmp_path):
        _, path = folder(tmp_path, "llama")
        edit_config(path, num_attention_heads=0, head_dim=None)
        with pytest.raises(FedgrowError, match=r"configuration makes no model .*division.*; correct config"):
            load_config(path)

    def test_a_file(self, tmp_path):
        (tmp_path / "model.txt").write_text("not a model")
        with pytest.raises(FedgrowError, match=r"model\.txt"):
            load_model(tmp_path / "model.txt", CLASSIFY)

    def test_a_head_for_regression(self, tmp_path):
        _, path = folder(tmp_path, "bert", labels=1)
        with pytest.raises(ArchitectureError, match=r"has shape \(1,\) \(one output is for regression"):
            load_model(path, CLASSIFY, id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1})

    def test_a_broken_configuration(self, tmp_path):
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(FedgrowError, match=r"not a valid JSON file"):
            load_config(tmp_path)

    def test_a_folder_without_weights(self, tmp_path):
        _, path = folder(tmp_path, "bert")
        (path / "model.safetensors").unlink()
        with pytest.raises(FedgrowError, match=r"cannot be loaded: .*model\.safetensors"):
            load_model(path, CLASSIFY)

    def test_pickled_weights(self, tmp_path):
        saved, path = folder(tmp_path, "bert")
        (path / "model.safetensors").unlink()
        torch.save(saved.state_dict(), path / "pytorch_model.bin")
        with pytest.raises(FedgrowError, match=r"cannot be loaded: .*model\.safetensors"):
            load_model(path, CLASSIFY)

    def test_broken_weights(self, tmp_path):
        _, path = folder(tmp_path, "bert")
        (path / "model.safetensors").write_bytes(b"broken")
        with pytest.raises(FedgrowError, match="cannot be loaded"):
            load_model(path, CLASSIFY)


class TestRandomness:
    def test_a_new_head_follows_from_the_seed(self, tmp_path):
        _, path = folder(tmp_path, "bert-body")
        one, two, other = (load_model(path, CLASSIFY, seed=seed)[0] for seed in (1, 1, 2))
        assert equal_parameters(one, two)
        assert not torch.equal(one.classifier.weight, other.classifier.weight)
        assert torch.equal(one.bert.embeddings.LayerNorm.weight, other.bert.embeddings.LayerNorm.weight)

    def test_a_new_model_follows_from_the_seed(self):
        config = tiny.config("vit", SHAPE)
        one, two, other = (new_model(config, IMAGES, seed=seed) for seed in (1, 1, 2))
        assert equal_parameters(one, two)
        assert not equal_parameters(one, other)

    def test_global_randomness_is_left_alone(self, tmp_path):
        _, path = folder(tmp_path, "bert-body")
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
        load_model(path, CLASSIFY)
        new_model(tiny.config("vit", SHAPE), IMAGES, seed=0)
        empty_model(tiny.config("gpt2", SHAPE), GENERATE)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (random.getstate(), str(np.random.get_state())) == before[1:]  # noqa: NPY002


class TestEmptyModel:
    @pytest.mark.parametrize(("name", "head"), [("bert", CLASSIFY), ("vit", IMAGES), ("gpt2", GENERATE)])
    def test_it_has_shapes_and_no_memory(self, name, head):
        empty = empty_model(tiny.config(name, SHAPE), head)
        assert all(parameter.is_meta for parameter in empty.parameters())
        assert not any(buffer.is_meta for buffer in empty.buffers())
        whole = tiny.model(name, SHAPE)
        assert {n: t.shape for n, t in empty.state_dict().items()} == {
            n: t.shape for n, t in whole.state_dict().items()
        }

    def test_it_runs_with_weights_passed_in(self):
        whole = tiny.model("gpt2", SHAPE)
        empty = empty_model(tiny.config("gpt2", SHAPE), GENERATE)
        batch = tiny.inputs("gpt2")
        out = torch.func.functional_call(empty, dict(whole.state_dict()), (), batch).logits
        torch.testing.assert_close(out, tiny.logits(whole, batch))
