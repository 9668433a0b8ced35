"""A small federation between sites: models, data, the plan, the sites' files, and the same plan for simulation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification

SHAPES = {"ada": (1, 8, 2, 8), "bob": (2, 8, 1, 12), "cyd": (1, 12, 2, 8)}
PLAN: dict[str, Any] = {
    "name": "tiny",
    "task": "image-classification",
    "family": "vit",
    "participants": [{"name": name} for name in SHAPES],
    "intermediate": {"layers": 2, "width": 16, "heads": 2, "ffn": 16},
    "large": {"layers": 3, "width": 24, "heads": 2, "ffn": 24},
    "operator": {"kind": "low-rank", "rank": 2},
    "local_operator": {"kind": "tied"},
    "prepare": {"steps": 2},
    "schedule": {"kind": "joint", "rounds": 3, "steps": 2},
    "training": {"batch_size": 8},
    "faults": {"deadline": 60, "patience": 300},
}


def write_all(folder: Path, address: str, certificate: Path, **changes: Any) -> None:
    """Write models, data, ``plan.yaml``, ``simulation.yaml`` and a file for every site."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    plan = PLAN | changes
    simulated = []
    for number, (name, (layers, width, heads, ffn)) in enumerate(SHAPES.items()):
        rows = order[number * 60 : (number + 1) * 60]
        images = digits.images[rows].astype("float32") / 16
        np.savez(folder / f"{name}.npz", images=images, labels=digits.target[rows])
        config = ViTConfig(
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=ffn,
            image_size=8,
            patch_size=4,
            num_channels=1,
            num_labels=10,
        )
        torch.manual_seed(number)
        ViTForImageClassification(config).save_pretrained(folder / f"model-{name}")
        brought = {
            "model": f"model-{name}",
            "data": {"source": f"{name}.npz", "image": "images", "label": "labels"},
        }
        simulated.append({"name": name, **brought})
        site = {
            "name": name,
            "coordinator": address,
            "certificate": str(certificate),
            "folder": f"site-{name}",
            **brought,
        }
        write_yaml(folder / f"{name}.yaml", site)
    write_yaml(folder / "plan.yaml", plan)
    write_yaml(folder / "simulation.yaml", plan | {"participants": simulated})


def write_yaml(path: Path, value: Any) -> None:
    """Write settings."""
    path.write_text(yaml.safe_dump(value, sort_keys=False), "utf-8")
