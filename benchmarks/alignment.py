"""Could the intermediate spaces of small models be brought together by an exact change of basis?

A renaming of units (a permutation with signs) leaves a transformer's function as it was, so Local-LiGO could begin with one;
a rotation does not (LayerNorm), and is measured as the bound above. Both are fitted on one half, and measured on the
other, of (1) the words that two models share, by their embeddings, and (2) a public anchor set, by the mean of the last
layer's stream over each text. Columns are standardised first.

Command:  python benchmarks/alignment.py MODEL MODEL... --texts FILE.parquet [--column text] [--limit 4000] [--seed 0]
          every pair of the models: mean |correlation| of matched units (chance beside), R² of the best rotation and of the
          best linear map
Last result: docs/research/aligning.md
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, logging

from fedgrow.markdown import table


def embeddings(model: str) -> Tensor:
    """Return the word embeddings, (vocabulary, width)."""
    return AutoModel.from_pretrained(model, dtype=torch.float32).get_input_embeddings().weight.detach()


@torch.no_grad()
def streams(model: str, texts: list[str]) -> Tensor:
    """Return the last layer's stream, averaged over each text, (texts, width)."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    body = AutoModel.from_pretrained(model, dtype=torch.float32).eval()
    means = []
    for begin in range(0, len(texts), 64):
        batch = tokenizer(
            texts[begin : begin + 64], padding=True, truncation=True, max_length=32, return_tensors="pt"
        )
        weights = batch["attention_mask"][..., None].float()
        means.append((body(**batch).last_hidden_state * weights).sum(1) / weights.sum(1))
    return torch.cat(means)


def halves(rows: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return the half to fit on and the half to measure on, columns standardised by the first."""
    fit, held = rows[order].chunk(2)
    mean, spread = fit.mean(0), fit.std(0).clamp_min(1e-6)
    return (fit - mean) / spread, (held - mean) / spread


def matched(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which unit of the one goes with which of the other, and with what sign."""
    correlation = first.T @ second / len(first)
    rows, columns = map(torch.from_numpy, linear_sum_assignment(-correlation.abs().numpy()))
    return rows, columns, correlation[rows, columns].sign()


def explained(target: Tensor, guess: Tensor) -> float:
    """Return R², of columns whose mean is 0."""
    return 1 - float(((target - guess) ** 2).sum() / (target**2).sum())


def compare(first: Tensor, second: Tensor, generator: torch.Generator) -> list[str]:
    """Return the figures of a pair; the rows of both belong together. The narrower of the two is ``first``."""
    order = torch.randperm(len(first), generator=generator)
    (one, one_held), (other, other_held) = halves(first, order), halves(second, order)
    rows, columns, signs = matched(one, other)
    renamed = ((one_held.T @ other_held / len(one_held))[rows, columns] * signs).mean()
    shuffled = other[torch.randperm(len(other), generator=generator)]
    by_chance = (one.T @ shuffled / len(one))[matched(one, shuffled)[:2]].abs().mean()
    same = float((rows == columns).float().mean())
    left, _, right = torch.linalg.svd(one.T @ other, full_matrices=False)
    turned, turned_held = one @ left @ right, one_held @ left @ right
    scale = (turned * other).sum() / (turned**2).sum()
    linear = torch.linalg.lstsq(one, other).solution
    return [
        f"{renamed:.3f}",
        f"{by_chance:.3f}",
        f"{same:.0%}",
        f"{explained(other_held, scale * turned_held):.3f}",
        f"{explained(other_held, one_held @ linear):.3f}",
    ]


def pairs(models: list[str], rows: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield every pair, the narrower model first."""
    for pair in itertools.combinations(models, 2):
        first, second = sorted(pair, key=lambda model: rows[model].shape[1])
        yield first, second


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", help="folders or hub ids, of one vocabulary")
    parser.add_argument("--texts", type=Path, required=True, help="the anchor set")
    parser.add_argument("--column", default="text")
    parser.add_argument("--limit", type=int, default=4000, help="how many texts")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.set_verbosity_error()
    generator = torch.Generator().manual_seed(args.seed)
    texts = pd.read_parquet(args.texts)[args.column].sample(args.limit, random_state=args.seed).tolist()
    measured = {
        "embeddings": {model: embeddings(model) for model in args.models},
        "stream": {model: streams(model, texts) for model in args.models},
    }
    head = [
        "of",
        "models",
        "renamed: correlation",
        "chance",
        "units that kept their number",
        "rotation R²",
        "linear R²",
    ]
    body = [
        [what, f"{Path(first).name}, {Path(second).name}", *compare(rows[first], rows[second], generator)]
        for what, rows in measured.items()
        for first, second in pairs(args.models, rows)
    ]
    print("\n".join(table([head, *body])))


if __name__ == "__main__":
    main()
