"""One contender of public_code.py in a process, and under an interpreter, of its own: settings in, answers out, as JSON."""

import importlib
import json
import os
import sys
from typing import Any

from measure import Batches

TRAIN = {"ours": "ours", "plain": "ours", "ligo": "vita_ligo", "ligofwlr": "ligofwlr"}
ANSWER = {
    "export": ("ours", "export"),
    "ours parity": ("ours", "parity"),
    "ligo parity": ("vita_ligo", "parity"),
    "ligofwlr parity": ("ligofwlr", "parity"),
    "ligofwlr vit parity": ("ligofwlr", "vit_parity"),
}


def main() -> None:
    """Answer on what was standard output; whatever libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(value: Any) -> None:
        print(json.dumps(value), file=answers, flush=True)

    spec = json.loads(sys.argv[1])
    if spec["who"] in ANSWER:
        module, function = ANSWER[spec["who"]]
        reply(getattr(importlib.import_module(module), function)(spec))
    else:
        train = importlib.import_module(TRAIN[spec["who"]]).train(spec)
        train(Batches(spec, reply))


if __name__ == "__main__":
    main()
