"""``fedgrow grow``: the command, in this process and as a real one."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.cli.running import SCRIPT, refused
from tests.folders.making import CAUSAL, edited, saved

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"


@pytest.fixture
def small(tmp_path):
    return saved(tmp_path / "small", "llama", CAUSAL)


def test_what_it_says(run, small, tmp_path):
    outcome = run("grow", small, "--to", "layers=3,ffn=20", "--out", tmp_path / "large")
    assert (outcome.code, outcome.stderr) == (0, "")
    shapes = "2x8 2 heads (1 kv) of 4 ffn 12 -> 3x8 2 heads (1 kv) of 4 ffn 20"
    words = [
        "llama, head: causal-language-modelling",
        shapes,
        "method exact function exact weights",
        "outputs differ by at most",
        "large",
    ]
    assert [w for w in words if w not in outcome.words] == []
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "large").config.num_hidden_layers == 3


def test_a_dry_run_writes_nothing(run, small, tmp_path):
    outcome = run("grow", small, "--to", "width=16", "--method", "lemon", "--dry-run", "--json")
    plan = json.loads(outcome.stdout)
    assert plan["shape"]["grown"]["heads"] == 4
    assert plan["method"]["name"] == "lemon"
    assert plan["declared"] == "exact"
    assert plan["bytes"] == 4 * plan["parameters"]["grown"]
    assert [p.name for p in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize(("width", "choices"), [(12, "width=16"), (28, "width=24 or width=32")])
def test_a_width_that_does_not_keep_the_function_is_told_with_one_that_does(run, tmp_path, width, choices):
    folder = saved(tmp_path / "bert", "bert", "masked-language-modelling")
    said = run("grow", folder, "--to", f"width={width},heads={width // 4}", "--dry-run").words
    assert f"function approximate; a bert keeps it at a multiple of the width 8, such as {choices} " in said
    for size in choices.replace("width=", "").split(" or "):
        kept = run("grow", folder, "--to", f"width={size},heads={int(size) // 4}", "--dry-run").words
        assert "function exact" in kept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "layers=3"], "say where to with --out"),
        (["--to", "depth=3", "--out", "x"], "'depth' is no size of llama; possible: layers, width"),
        (["--to", "layers=2", "--out", "x"], "the model's own shape"),
        (["--to", "layers=3", "--out", "x", "--method", "magic"], "method 'magic' is unknown"),
        (["--to", "layers=3", "--out", "x", "--parity", "maybe"], "choose auto, full or off"),
        (["--to", "layers=3", "--out", "x", "--max-shard-size", "huge"], "--max-shard-size huge"),
        (["--to", "heads=4,kv_heads=3", "--out", "x"], "kv_heads: 3 does not divide 4 heads"),
        (
            ["--to", "layers=3", "--out", "/", "--dry-run"],
            "--out /: it is the working directory, or holds it",
        ),
    ],
)
def test_bad_input_ends_with_one_text_and_code_1(run, small, arguments, words):
    refused(run("grow", small, *arguments), words)


def test_an_unknown_tensor_is_named(run, small, tmp_path):
    edited(small, lambda tensors: tensors | {"model.gate": torch.ones(2)})
    refused(
        run("grow", small, "--to", "layers=3", "--out", tmp_path / "x"), "does not know tensor model.gate"
    )


def test_the_real_command_with_json(small, tmp_path):
    arguments = ["grow", small, "--to", "layers=3", "--out", tmp_path / "large", "--json", "--seed", "2"]
    done = subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["seed"], report["folder"]) == (2, str(tmp_path / "large"))
    assert sorted(f.name for f in (tmp_path / "large").iterdir()) == report["files"]
    assert done.stderr == ""


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(tmp_path):
    shape = {"layers": 8, "heads": 16, "head_size": 64, "kv_heads": 16, "ffn": 4096}
    small = saved(tmp_path / "small", "llama", CAUSAL, shape=shape)
    arguments = ["grow", small, "--to", "layers=16,width=1536", "--out", tmp_path / "large"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        process = subprocess.Popen(
            [SCRIPT, *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=os.environ
        )
    finally:
        signal.signal(signal.SIGINT, before)
    part = tmp_path / ".large.part"
    for _ in range(6000):  # the libraries take long to load on a busy machine
        if any(f.stat().st_size > 10**6 for f in part.glob("*.safetensors")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; nothing was written" in err
    assert [p.name for p in tmp_path.iterdir()] == ["small"]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "to", "most"),
    [
        ("bert-tiny-l2-h128", "width=256,layers=4", 1e-9),
        ("minilm-l6-h384", "width=768", 1e-9),
        ("vit-s14-h384-l12", "width=448,layers=13", 1e-9),
    ],
)
def test_real_models_grow_from_their_files(run, tmp_path, name, to, most):
    if not (MODELS / name).is_dir():
        pytest.skip(f"no {MODELS / name}")
    outcome = run("grow", MODELS / name, "--to", to, "--out", tmp_path / "large", "--json")
    report = json.loads(outcome.stdout)
    assert report["streamed"]
    assert report["dtype"] == "float16"
    assert report["parity"]["growth"]["max_abs"] <= most
    assert report["parity"]["folder"]["max_abs"] <= 0.02
