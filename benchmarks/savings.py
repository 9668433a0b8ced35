"""What does growing save over training the large model from scratch? Central, no federation.

Question: a small GPT-2 and a small BERT are pre-trained on documents. How much arithmetic (torch's FLOP counter; evaluation
free, the operator's own training counted, the small model's pre-training shown apart) does it take to bring the grown large
model to the loss, on held-out documents, that the same large model reaches from scratch with its whole budget?

Every method gives the large model its weights: an initialiser as it is, or an operator trained for some steps. Then all
weights are trained as usual, the rates falling evenly to zero over a horizon, until the target is reached. The rates of the
small model, of the large one from scratch and of grown ones (for exact growth; the others take the same) and the operator's
steps were chosen on a development seed (100), which is not reported. Where a horizon ends above the target, the next longer
one is tried from the start, up to the whole budget, and only the run that reaches it is counted. All methods see the same
batches in the same order; the seed decides weights, batches and masks.

Commands: python benchmarks/savings.py run --data documents.parquet --out FOLDER [--jobs 2]    (goes on where it was stopped)
          python benchmarks/savings.py report --out FOLDER
          python benchmarks/savings.py tune --data documents.parquet --out FOLDER --methods scratch,exact --rates 2e-3,4e-3
Last result: benchmarks/results/savings.md
"""

import argparse
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, BertConfig, GPT2Config

from fedgrow.architectures import read
from fedgrow.architectures.configuration import with_shape
from fedgrow.architectures.models import load_model, new_model
from fedgrow.architectures.shape import Shape
from fedgrow.config.plan import DataPlan, OperatorPlan, TrainingPlan
from fedgrow.data.sources import load
from fedgrow.data.split import split
from fedgrow.disk.atomic import read_json, read_tensors, write_folder, write_json, write_tensors
from fedgrow.learners import Learner, Ligo, Tensors, WholeModel
from fedgrow.learners.ligo import Step, make_operator
from fedgrow.seeds import INIT, TRAIN, derive
from fedgrow.tasks import TASKS, Codec, Encoded
from fedgrow.tasks.causal_language_modelling import BlockCodec
from fedgrow.tasks.masked_language_modelling import MASK, MaskedCodec
from fedgrow.tasks.tokenizers import learn
from fedgrow.training.flops import counted
from fedgrow.training.loop import evaluate, fit

VOCABULARY, LENGTH, BATCH = 4000, 128, 8
HELD_OUT, HELD_OUT_BLOCKS, EVERY = 0.05, 96, 25
SMALL = Shape(layers=2, width=32, heads=1)
LARGE = Shape(layers=4, width=128, heads=4)
HEADS = {"gpt2": "causal-language-modelling", "bert": "masked-language-modelling"}
HORIZONS = {"gpt2": (0.35, 0.5, 0.7, 1.0), "bert": (1.0,)}  # shares of the budget
DEVELOPMENT = 100  # the seed of ``tune``; never one that is reported


@dataclass(frozen=True)
class Budget:
    """Steps and rates of one family, chosen on the development seed."""

    small_steps: int
    small_rate: float
    steps: int
    rate: float
    grown_rate: float


BUDGETS = {
    "gpt2": Budget(small_steps=1000, small_rate=1e-2, steps=1000, rate=2e-3, grown_rate=4e-3),
    "bert": Budget(small_steps=2000, small_rate=4e-3, steps=2000, rate=1e-3, grown_rate=2e-3),
}


@dataclass(frozen=True)
class Method:
    """How the large model gets its weights, and how it is then trained."""

    kind: str
    start: str
    operator_steps: int = 0
    operator_rate: float | None = None
    rank: int | None = None
    residual: int | None = None

    @property
    def plan(self) -> OperatorPlan:
        """The operator."""
        return OperatorPlan(kind=self.kind, start=self.start, rank=self.rank, residual=self.residual)


METHODS = {
    "exact": Method("tied", "exact"),  # as a matrix, its free rows drawn at random
    **{
        name: Method("fixed", name)
        for name in ("zero-block", "lemon", "net2net", "fpi", "aki", "stack", "interpolate")
    },
    "LiGO low-rank": Method("low-rank", "exact", operator_steps=30),
    "LiGO partial": Method("partial", "exact", operator_steps=30),
    "LiGO tied": Method("tied", "exact", operator_steps=30),
    "LiGO low-rank + residual": Method("low-rank", "exact", operator_steps=30, residual=8),
}


class Bench:
    """One family at one seed: its data, its small model, and what is measured."""

    def __init__(self, out: Path, family: str, seed: int) -> None:
        self.out, self.family, self.seed = out, family, seed
        self.task, self.budget = TASKS[HEADS[family]], BUDGETS[family]
        tokenizer = AutoTokenizer.from_pretrained(out / "data")
        self.codec: Codec = (
            BlockCodec(tokenizer, LENGTH) if family == "gpt2" else MaskedCodec(tokenizer, LENGTH, seed)
        )
        tensors = read_tensors(out / "data" / "blocks.safetensors")
        self.train, self.test = (Encoded(list(tensors[part].long()), None) for part in ("train", "test"))

    def record(self, name: str) -> Path:
        return self.out / "runs" / f"{self.family}-{self.seed}-{name.replace(' ', '_')}.json"

    def config(self, shape: Shape) -> Any:
        if self.family == "gpt2":
            ends = dict.fromkeys(("bos_token_id", "eos_token_id"), self.codec.config_values()["eos_token_id"])
            none = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
            config: Any = GPT2Config(vocab_size=VOCABULARY, n_positions=LENGTH, **ends, **none)
        else:
            none = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
            config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, **none)
        family = read(new_model(with_tiny(config), self.task.name, seed=0)).family
        config.initializer_range = (
            0.8 / shape.width**0.5
        )  # 0.02 is for width 768: narrow BERTs hardly start from it
        return with_shape(config, family, shape)

    def new(self, shape: Shape) -> nn.Module:
        return new_model(self.config(shape), self.task.name, seed=derive(self.seed, INIT))

    def plan(self, decay: str = "linear", warmup: float = 0.05) -> TrainingPlan:
        return TrainingPlan(batch_size=BATCH, decay=decay, warmup=warmup, weight_decay=0.01)

    def loss(self, learner: Learner, shared: Tensors, private: Tensors) -> float:
        return evaluate(learner, shared, private, self.test, self.codec, self.task, 32)["loss"]

    def flops(self, learner: Learner) -> int:
        """Count the arithmetic of one step, forward and backward (AdamW's own, elementwise, is not counted)."""
        return counted(lambda: self.fit(learner, 1, 0, self.plan()))

    def fit(self, learner: Learner, steps: int, stream: int, plan: TrainingPlan, watch: Any = None) -> Any:
        """Train; ``stream`` names the order of the batches."""
        return fit(
            learner,
            learner.shared_start(),
            learner.private_start(),
            self.train,
            self.codec,
            self.task,
            plan,
            phase="joint",
            steps=steps,
            seed=derive(self.seed, TRAIN, stream),
            watch=watch,
        )

    def train_whole(
        self, model: nn.Module, rate: float, steps: int, *, stream: int = 0, target: float | None = None
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Train all weights; the curve holds (steps, held-out loss), and ends where the target is reached."""
        learner = WholeModel(model, rate)
        curve = [(0, self.loss(learner, {}, learner.private_start()))]

        def reached() -> bool:
            return target is not None and curve[-1][1] <= target

        def watch(step: int, _: float, state: Tensors) -> bool:
            if step % EVERY == 0 or step == steps:
                now = {name: t.detach() for name, t in state.items()}
                curve.append((step, self.loss(learner, {}, now)))
            return reached()

        if reached() or not steps:
            return model, {"curve": curve, "reached": reached()}
        fitted = self.fit(learner, steps, stream, self.plan(), watch)
        return learner.materialise({}, fitted.private), {"curve": curve, "reached": reached()}

    # the jobs

    def small(self) -> None:
        """Pre-train the small model; its batches come in an order of their own."""
        budget = self.budget
        model, result = self.train_whole(self.new(SMALL), budget.small_rate, budget.small_steps, stream=1)
        per_step = self.flops(WholeModel(model, 0.0))
        result |= {"flops": per_step * budget.small_steps, "shape": str(SMALL)}
        write_folder(self.out / "small" / f"{self.family}-{self.seed}", lambda f: model.save_pretrained(f))
        write_json(self.record("small"), result)

    def scratch(self) -> None:
        """Train the large model from fresh weights: its loss at the end is the target."""
        model, result = self.train_whole(self.new(LARGE), self.budget.rate, self.budget.steps)
        per_step = self.flops(WholeModel(model, 0.0))
        total = per_step * self.budget.steps
        result |= {"flops": total, "flops_per_step": per_step, "target": result["curve"][-1][1]}
        write_json(self.record("scratch"), result)

    def grow(self, method: Method) -> tuple[nn.Module, dict[str, Any]]:
        """Give the large model its weights."""
        small, _ = load_model(self.out / "small" / f"{self.family}-{self.seed}", self.task.name)
        reading = read(small)
        operator = make_operator(method.plan, reading.family, reading.shape, LARGE, self.seed)
        learner = Ligo(small, [Step(operator, method.operator_rate)], self.plan())
        shared, private = learner.shared_start(), learner.private_start()
        found: dict[str, Any] = {"before": self.loss(learner, shared, private), "operator_flops": 0}
        if method.operator_steps:
            found["operator_flops"] = self.flops(learner) * method.operator_steps
            fitted = self.fit(learner, method.operator_steps, 2, self.plan("none", 0.1))
            shared, private = fitted.shared, fitted.private
        return learner.materialise(shared, private), found

    def grown(self, name: str) -> None:
        """Grow, and train until the loss from scratch is reached."""
        method, scratch = METHODS[name], read_json(self.record("scratch"))
        model, result = self.grow(method)
        tried = []
        for horizon in HORIZONS[self.family]:
            most = scratch["flops"] - result["operator_flops"]
            steps = min(round(horizon * self.budget.steps), most // scratch["flops_per_step"])
            _, trained = self.train_whole(model, self.budget.grown_rate, steps, target=scratch["target"])
            tried.append({"steps": steps, "final": trained["curve"][-1][1]})
            result |= trained
            if trained["reached"]:
                break
        spent = result["operator_flops"] + result["curve"][-1][0] * scratch["flops_per_step"]
        result |= {"tried": tried, "flops": spent, "saving": 1 - spent / scratch["flops"]}
        result |= {"target": scratch["target"], "method": vars(method)}
        write_json(self.record(name), result)

    def job(self, name: str) -> None:
        small = self.out / "small" / f"{self.family}-{self.seed}"
        if not self.record(name).is_file() or (name == "small" and not small.is_dir()):
            {"small": self.small, "scratch": self.scratch}.get(name, lambda: self.grown(name))()


def with_tiny(config: Any) -> Any:
    """Return a copy of a configuration that is quick to build; only its family matters."""
    sizes = {"n_layer": 1, "n_embd": 8, "n_head": 1, "num_hidden_layers": 1, "hidden_size": 8}
    values = config.to_dict() | sizes | {"num_attention_heads": 1, "intermediate_size": 8}
    return type(config).from_dict(values)


def same_settings(out: Path, families: list[str]) -> None:
    """Refuse to go on with results of other settings; keep those of these results."""
    common = {
        "vocabulary": VOCABULARY,
        "length": LENGTH,
        "batch": BATCH,
        "every": EVERY,
        "held_out": HELD_OUT_BLOCKS,
    }
    for family in families:
        settings = common | {"small": str(SMALL), "large": str(LARGE), "budget": vars(BUDGETS[family])}
        file = out / f"settings-{family}.json"
        if file.is_file() and read_json(file) != settings:
            raise SystemExit(f"{file} holds other settings than this program's: choose another --out")
        write_json(file, settings)


def prepare(data: str, out: Path) -> None:
    """Learn the tokenizer from the training documents and cut both parts into blocks; documents occur once."""
    if (out / "data" / "blocks.safetensors").is_file():
        return
    examples = load(DataPlan(source=data), TASKS["causal-language-modelling"].form, 0)
    texts = list(dict.fromkeys(examples.texts))
    train, test = split(range(len(texts)), None, HELD_OUT, 0)
    tokenizer = learn([texts[i] for i in train], VOCABULARY - 1)
    tokenizer.add_special_tokens({"mask_token": MASK})
    assert len(tokenizer) == VOCABULARY
    codec = BlockCodec(tokenizer, LENGTH)
    blocks = {
        part: torch.stack(list(codec.encode(type(examples)([texts[i] for i in rows])).inputs)).int()
        for part, rows in (("train", train), ("test", test))
    }
    draw = torch.randperm(len(blocks["test"]), generator=torch.Generator().manual_seed(0))
    blocks["test"] = blocks["test"][draw[:HELD_OUT_BLOCKS].sort().values]

    def fill(folder: Path) -> None:
        tokenizer.save_pretrained(folder)
        write_tensors(folder / "blocks.safetensors", blocks)

    write_folder(out / "data", fill)


@cache
def bench(out: Path, family: str, seed: int) -> Bench:
    torch.set_num_threads(1)
    return Bench(out, family, seed)


def job(out: Path, family: str, seed: int, name: str) -> str:
    it = bench(out, family, seed)
    it.job(name)
    found = read_json(it.record(name))
    saving = f", saving {found['saving']:.1%}" if "saving" in found else ""
    return f"{family} seed {seed} {name}: {found['curve'][-1][0]} steps, loss {found['curve'][-1][1]:.3f}{saving}"


def tune(it: Bench, names: list[str], rates: list[float], horizons: list[float]) -> None:
    """Print what rates and horizons reach on the development seed."""
    for name in names:
        model: nn.Module | None = None
        target, steps, stream = None, it.budget.steps, 0
        if name in ("small", "scratch"):
            model, shares = it.new(SMALL if name == "small" else LARGE), [1.0]
            steps, stream = (it.budget.small_steps, 1) if name == "small" else (steps, 0)
        else:
            it.job("small")
            it.job("scratch")
            target, shares = read_json(it.record("scratch"))["target"], horizons
            model, found = it.grow(METHODS[name])
            print(f"{it.family} {name}: {found['before']:.3f} when grown, target {target:.3f}", flush=True)
        for rate, share in itertools.product(rates, shares):
            _, result = it.train_whole(model, rate, round(share * steps), stream=stream, target=target)
            curve = result["curve"]
            shown = ", ".join(f"{step}: {loss:.3f}" for step, loss in curve[:: max(1, len(curve) // 8)])
            end = f"{'reached' if result['reached'] else 'ends'} at {curve[-1][0]}: {curve[-1][1]:.3f}"
            print(f"{it.family} {name}, rate {rate:g}, horizon {share:g}: {end} ({shown})", flush=True)


def run(out: Path, families: list[str], seeds: list[int], methods: list[str], jobs: int) -> None:
    """Do what is not yet done: seed by seed, what others need first."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        for seed in seeds:
            for wave in (["small", "scratch"], methods):
                pairs = list(itertools.product(wave, families))
                for line in pool.map(job, *zip(*((out, f, seed, n) for n, f in pairs), strict=True)):
                    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "report", "tune"))
    parser.add_argument("--data", help="documents: a .parquet, .csv or .jsonl with a text column")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--families", default=",".join(HEADS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rates", default="1e-3,2e-3,4e-3", help="for tune")
    parser.add_argument("--horizons", default="0.15,0.25", help="for tune")
    args = parser.parse_args()
    if args.command == "report":
        from savings_report import write

        sizes = [
            "Commands: `python benchmarks/savings.py run --data documents.parquet --out FOLDER`, then `report`. Large "
            f"{LARGE}, small {SMALL}; vocabulary {VOCABULARY}, batches of {BATCH} x {LENGTH} tokens, budgets "
            + ", ".join(f"{f} {b.steps} steps" for f, b in BUDGETS.items())
            + f"; torch {torch.__version__}, one thread a process, a machine of 2 shared cores.",
        ]
        methods = {family: list(METHODS) for family in args.families.split(",")}
        write(args.out, methods, sizes, Path(__file__).parent / "results" / "savings.md")
        return
    same_settings(args.out, args.families.split(","))
    prepare(args.data, args.out)
    if args.command == "tune":
        rates, horizons = ([float(x) for x in text.split(",")] for text in (args.rates, args.horizons))
        for family in args.families.split(","):
            tune(bench(args.out, family, DEVELOPMENT), args.methods.split(","), rates, horizons)
        return
    run(
        args.out,
        args.families.split(","),
        [int(s) for s in args.seeds.split(",")],
        args.methods.split(","),
        args.jobs,
    )


if __name__ == "__main__":
    main()
