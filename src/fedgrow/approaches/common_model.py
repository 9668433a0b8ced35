"""The common grown model: one small model grown to the plan's large shape, from which reference approaches begin.

Of which small model: the largest that is public, as it came, before any private training; as good as public is one that
a participant's entry names by folder or hub id. Where every small model is made in the run there is no public one, and
the first participant's prepared one is taken, which was trained on its data.

Participants begin with everything of it that means the same to them: body, pooler, and a head over the same labels or
words. Not so a head over classes that was prepared on the first participant's own shares of them: others, and the average,
did better with a fresh one (digits, 4 rounds of 15 steps, mean accuracy at two development seeds: fresh 0.63 and 0.80,
the first's 0.47 and 0.75, each participant's own grown onto the common body 0.55 and 0.73).

Growth is by the exact start, so the grown model computes what the small one computes (docs/exactness.md), with its free rows
drawn, so that copies of a unit part in training. Its configuration is common too, for growth may change the norms' epsilon
and rotary settings.
"""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fedgrow.architectures import family_of, read
from fedgrow.architectures.configuration import POSITIONS, longest_text, positions, save_config
from fedgrow.architectures.models import load_model, meta_model, new_model, quiet
from fedgrow.config.plan import Plan
from fedgrow.disk.atomic import read_json, write_folder, write_json
from fedgrow.growth.operators.drawn import Drawn
from fedgrow.growth.stage import Stage
from fedgrow.learners.ligo import Ligo, Step
from fedgrow.learners.whole_model import body_names
from fedgrow.participants.participant import Participant
from fedgrow.seeds import INIT, derive
from fedgrow.tasks.base import Codec
from fedgrow.tasks.models import load_for

FROM_DATA = ("id2label", "label2id", "image_size", "num_channels")
FROM_WORDS = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True)
class Common:
    """The common grown model, and what of it means the same at all participants.

    Attributes:
        model: the large model, with the head and the labels of the small one.
        names: its body tensors that mean the same at all participants.
        vocabulary: digest of the vocabulary that its tables are over; None where there is none.
    """

    model: nn.Module
    names: Sequence[str]
    vocabulary: str | None

    @classmethod
    def of(cls, sites: Sequence[Participant]) -> "Common":
        """Grow the common model and find what all participants have of it."""
        source = source_of(sites)
        model, vocabulary = grow_common(source), source.codec.vocabulary_digest()
        same_words = all(site.codec.vocabulary_digest() == vocabulary for site in sites)
        names = body_names(read(model), vocabulary=same_words)
        sizes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        common = cls(model, names, vocabulary)
        for site in sites:
            own = meta_model(common.config(site), site.task.name).state_dict()
            names = [name for name in names if own[name].shape == sizes[name]]
        return cls(model, names, vocabulary)

    def save(self, folder: Path) -> None:
        """Write it: an ordinary Hugging Face folder, with what is the same beside."""
        model: Any = self.model

        def fill(part: Path) -> None:
            with quiet():
                model.save_pretrained(part)
            save_config(read(model).family, model.config, part)
            write_json(part / "common.json", {"names": list(self.names), "vocabulary": self.vocabulary})

        write_folder(folder, fill)

    @classmethod
    def load(cls, folder: Path, head: str) -> "Common":
        """Read what was written."""
        return cls(load_model(folder, head)[0], **read_json(folder / "common.json"))

    def config(self, site: Participant) -> Any:
        """Return the configuration of a participant's large model: the common one, with its own labels and words."""
        return own_config(self.model, site.small_model.config, words=not self._same_words(site.codec))

    def own(self, site: Participant) -> nn.Module:
        """Return a participant's large model at the start: the common one wherever a tensor means the same to it."""
        common: Any = self.model
        config, differ = self.config(site), differing(site, site.codec)
        if config.id2label != common.config.id2label:
            differ.add("label")
        if not self._same_words(site.codec):
            differ.add("vocab")
        return with_config(common, config, differ, site.plan.seed)

    def _same_words(self, codec: Codec) -> bool:
        return codec.vocabulary_digest() == self.vocabulary


def prepared(plan: Plan) -> Collection[int]:
    """Return whose prepared small model the common one is grown from, by number: nobody's, where one is public."""
    return () if any(isinstance(entry.model, str) for entry in plan.participants) else (0,)


def source_of(sites: Sequence[Participant]) -> Participant:
    """Return whose small model the common one is grown from: of the largest public one, the first."""
    public = [site for site in sites if isinstance(site.entry.model, str)]
    return max(public, key=_size, default=sites[0])


def _size(site: Participant) -> int:
    shape = site.prepared["shape"]
    return int(shape["layers"] * shape["width"] ** 2)


def grow_common(site: Participant) -> nn.Module:
    """Grow a participant's small model to the large shape: as it came, where it is public."""
    return grown(as_it_came(site), site.plan)


def as_it_came(site: Participant) -> nn.Module:
    """Return a participant's small model before any private training, where it is public; else the prepared one."""
    if not isinstance(site.entry.model, str):
        return site.small_model
    seed = derive(site.plan.seed, INIT, site.index)
    return load_for(site.entry.model, site.task, site.codec, seed=seed)[0]


def grown(small: nn.Module, plan: Plan) -> nn.Module:
    """Return a small model grown to the plan's large shape, with the exact start and its free rows drawn."""
    reading = read(small)
    operator = Drawn(Stage(reading.family, reading.shape, plan.large), seed=plan.seed)
    learner = Ligo(small, [Step(operator)], plan.training)
    return learner.materialise(learner.shared_start(), learner.private_start())


def own_config(common: Any, like: Any, *, words: bool) -> Any:
    """Return the common model's configuration with the labels and images (and words, if asked) of another one."""
    config = copy.deepcopy(common.config)
    for field in (*FROM_DATA, *(FROM_WORDS if words else ())):
        if hasattr(like, field) and hasattr(config, field):
            setattr(config, field, getattr(like, field))
    family = family_of(config)
    if (longest := longest_text(family, common.config)) is not None:
        setattr(config, POSITIONS, positions(family, longest, config.pad_token_id))
    return config


def differing(site: Participant, codec: Codec) -> set[str]:
    """Return the axes along which a common model fits nobody: classes, where its head was prepared in the run."""
    return {"label"} if prepared(site.plan) and codec.labels else set()


def with_config(common: Any, config: Any, differ: Collection[str], seed: int) -> nn.Module:
    """Return the common model under another configuration of the same shape.

    Args:
        common: the common model.
        config: the configuration.
        differ: axes along which entries mean something else; tensors with them, and those of another size, are fresh.
        seed: of what is fresh; the same for everyone.
    """
    reading = read(common)
    model = new_model(config, reading.head, seed=seed)
    theirs, own = common.state_dict(), model.state_dict()
    for spec in reading.specs:
        for name in spec.names(reading.shape):
            if set(differ).isdisjoint(spec.axes) and theirs[name].shape == own[name].shape:
                own[name] = theirs[name]
    own |= {name: own[source] for name, source in reading.tied.items()}
    model.load_state_dict(own, strict=True)
    return model
