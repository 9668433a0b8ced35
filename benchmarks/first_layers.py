"""Write smaller models that share an origin: the first layers of a pre-trained one, as Hugging Face folders.

The studies' participants hold such models, of different depth. Where two of them come from one parent their intermediate
spaces agree from the start; where they come from two, only the vocabulary does.

Command:  python benchmarks/first_layers.py FOLDER-OR-HUB-ID --layers 1,2,3 --out FOLDER
          writes FOLDER/<name>-<layers>, tokenizer or image processor included; a pooler only where the parent has one
          [--image-size 56] for smaller images, the positions of their patches interpolated
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer


def write(parent: str, layers: int, folder: Path, image_size: int | None) -> None:
    """Write a model's first layers."""
    options = {"num_hidden_layers": layers, "dtype": torch.float32}
    model, loading = AutoModel.from_pretrained(parent, output_loading_info=True, **options)
    if any("pooler" in name for name in loading["missing_keys"]):  # it would be made up at random
        model = AutoModel.from_pretrained(parent, add_pooling_layer=False, **options)
    if image_size is not None:
        shrink(model, image_size)
    model.save_pretrained(folder)
    if hasattr(model.config, "image_size"):
        size = {"height": model.config.image_size, "width": model.config.image_size}
        AutoImageProcessor.from_pretrained(parent, size=size).save_pretrained(folder)
    else:
        AutoTokenizer.from_pretrained(parent).save_pretrained(folder)


def shrink(model: Any, image_size: int) -> None:
    """Interpolate the positions of a ViT's patches to those of a smaller image (bicubic, as transformers does)."""
    embeddings = model.embeddings
    with torch.no_grad():
        patches = torch.zeros(1, (image_size // model.config.patch_size) ** 2 + 1, model.config.hidden_size)
        positions = embeddings.interpolate_pos_encoding(patches, image_size, image_size)
    embeddings.position_embeddings = torch.nn.Parameter(positions)
    model.config.image_size = image_size


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parent", help="folder or hub id of a pre-trained model")
    parser.add_argument("--layers", default="1,2,3", help="how many layers, several with commas")
    parser.add_argument("--image-size", type=int, help="pixels of a side")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    depth = AutoConfig.from_pretrained(args.parent).num_hidden_layers
    wanted = [int(n) for n in args.layers.split(",")]
    if not all(1 <= n <= depth for n in wanted):
        parser.error(f"--layers {args.layers}: {args.parent} has {depth}")
    for layers in wanted:
        folder = args.out / f"{Path(args.parent).name}-{layers}"
        write(args.parent, layers, folder, args.image_size)
        print(folder)


if __name__ == "__main__":
    main()
