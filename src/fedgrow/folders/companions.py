"""Files beside the weights that a grown model shares with its small one: tokenizer, processor, generation settings."""

import shutil
from pathlib import Path

GENERATION = "generation_config.json"
COMPANIONS = (
    GENERATION,
    # tokenizers
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    # image and other processors
    "preprocessor_config.json",
    "processor_config.json",
    # the terms that the weights come under
    "LICENSE*",
    "NOTICE*",
)


def copy_companions(folder: Path, out: Path) -> list[str]:
    """Copy these files, and only these (no code, nothing pickled); return their names."""
    found = sorted({file for pattern in COMPANIONS for file in folder.glob(pattern) if file.is_file()})
    for file in found:
        place = out / file.relative_to(folder)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, place)
    return [file.relative_to(folder).as_posix() for file in found]
