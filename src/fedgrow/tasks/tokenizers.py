"""Tokenizers: loaded beside a model, or learned by a participant from its own texts."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fedgrow.config.plan import ParticipantPlan
from fedgrow.errors import FedgrowError, first_line

PAD, END = "<pad>", "<end>"


def tokenizer_for(
    participant: ParticipantPlan, texts: Sequence[str], vocabulary: int, *, segments: bool = False
) -> Any:
    """Return the participant's tokenizer: the one it names, the one beside its model, or one learned from its texts.

    Args:
        participant: whose.
        texts: what one is learned from.
        vocabulary: entries of one that is learned.
        segments: whether one that is learned tells the two texts of a pair apart (``token_type_ids``).

    Raises:
        FedgrowError: a named tokenizer, or that of a model folder, cannot be loaded.
    """
    folder = participant.tokenizer_folder
    return learn(texts, vocabulary, segments) if folder is None else load_tokenizer(participant.name, folder)


def load_tokenizer(participant: str, folder: str) -> Any:
    """Load a participant's tokenizer from a folder or hub id.

    Raises:
        FedgrowError: there is none, or it has no token to pad with.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers raises a bare one at a file of another release
        raise FedgrowError(
            f"participant {participant}: no tokenizer at {folder!r} ({first_line(error)}); "
            "put tokenizer.json there, or name another one as participants[].tokenizer"
        ) from None
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes of a folder without one
        raise FedgrowError(
            f"participant {participant}: there is no tokenizer at {folder!r}; "
            "put tokenizer.json there, or name another one as participants[].tokenizer"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise FedgrowError(
            f"participant {participant}: the tokenizer at {folder!r} has neither a padding nor an end token; "
            "add one, or name another tokenizer as participants[].tokenizer"
        )
    return tokenizer


def learn(texts: Sequence[str], size: int, segments: bool = False) -> Any:
    """Learn a byte-level BPE vocabulary (as GPT-2's) of at most ``size`` entries; deterministic.

    Args:
        texts: what it is learned from.
        size: entries.
        segments: whether it tells the two texts of a pair apart.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, 300),
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, bos_token=END, model_input_names=made
    )


def digest(tokenizer: Any) -> str:
    """Return a digest of the vocabulary: equal digests mean that token ids mean the same."""
    entries = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
