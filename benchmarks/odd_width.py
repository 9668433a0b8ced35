"""How far from exact is growth where it cannot be exact: post-norm, to a width that is no multiple of the old one?

Question: relative L2 difference of the last hidden states (old entries) between a small pre-trained BERT and the grown one
before any training, and the smallest cosine over tokens, for the start by mean entries (``exact``; ``lemon`` is the same
there) and by duplication (``net2net``), beside the widths that are multiples, where it is exact. In float64, on random ids.

Command:  python benchmarks/odd_width.py MODEL_FOLDER... [--factors 1.25,1.3333,1.5,1.75,2]
Last result: benchmarks/results/odd_width.md
"""

import argparse
from pathlib import Path

import torch
import transformers

from fedgrow.architectures import Shape, read
from fedgrow.architectures.models import load_model, new_model
from fedgrow.errors import FedgrowError
from fedgrow.growth import OPERATORS, Applied, Stage, grow, stack

METHODS = ("exact", "net2net")


def ids(vocabulary: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(min(1000, vocabulary // 2), vocabulary, (8, 48), generator=generator)


@torch.no_grad()
def gap(small: transformers.PreTrainedModel, target: Shape, method: str) -> tuple[float, float]:
    """Return the relative difference and the smallest cosine of last hidden states."""
    reading = read(small)
    operator = OPERATORS["fixed"](Stage(reading.family, reading.shape, target), start=method)
    large = new_model(operator.stage.config(small.config), reading.head, seed=0).double()
    tensors = grow(reading, stack(reading, small.state_dict()), [Applied(operator, {})])
    large.load_state_dict(tensors)
    batch = ids(small.config.vocab_size)
    old = small(input_ids=batch).last_hidden_state
    new = large(input_ids=batch).last_hidden_state[..., : reading.shape.width]
    cosine = torch.cosine_similarity(old, new, dim=-1).min()
    return float((new - old).norm() / old.norm()), float(cosine)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument(
        "--factors", default="1.25,1.3333,1.5,1.75,2", help="widths to try, times the old one"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, float64")
    print("| model | width | method | relative difference | smallest cosine |\n|---|---|---|---|---|")
    for folder in args.models:
        small = load_model(folder, None)[0].double()
        shape = read(small).shape
        for factor in map(float, args.factors.split(",")):
            size = round(shape.head_size * factor)
            width = shape.heads * size
            target = shape.model_copy(update={"width": width, "head_size": size})
            for method in METHODS:
                try:
                    relative, cosine = gap(small, target, method)
                except FedgrowError as error:
                    print(f"| {folder.name} | {shape.width} -> {width} | {method} | {error} | |")
                    continue
                print(
                    f"| {folder.name} | {shape.width} -> {width} | {method} | {relative:.2e} | {cosine:.5f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
