"""All data in one place: the common grown model trained on everyone's training examples, a ceiling for sharing nothing.

It takes as many steps as all participants together, with the same batch size. One head serves all, over the labels (or
tags) of all; on a participant's held-out data it chooses among the participant's own ones, as every other approach's head
does. Texts are tokenized, and images processed, as the common model asks for (``common_model`` says whose that is).
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from fedgrow.approaches.base import Ended, Metrics, Together
from fedgrow.approaches.common_model import (
    differing,
    grow_common,
    own_config,
    prepared,
    source_of,
    with_config,
)
from fedgrow.approaches.schedule import jointly, own_steps
from fedgrow.architectures import Family, Shape
from fedgrow.architectures.models import count, load_config
from fedgrow.config.plan import Plan
from fedgrow.data.joined import joined, one_size
from fedgrow.disk.events import emit
from fedgrow.errors import FedgrowError
from fedgrow.learners import WholeModel
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import sources
from fedgrow.seeds import TRAIN, derive
from fedgrow.tasks import Codec, Given
from fedgrow.tasks.tokenizers import digest, load_tokenizer
from fedgrow.training.arithmetic import training_flops
from fedgrow.training.loop import evaluate, fit

LANGUAGE = ("causal-language-modelling", "masked-language-modelling")


class Pooled(Together):
    """The common grown model, trained on all data in one place."""

    name = "pooled"
    title = "all data in one place: the grown large model trained on it (ceiling)"
    travels = "all data"
    grows = True

    def prepared(self, plan: Plan) -> Collection[int]:
        """Return that of the common model."""
        return prepared(plan)

    def check(self, plan: Plan, family: Family, shapes: Sequence[Shape]) -> None:
        """Refuse language modelling where participants have, or learn, vocabularies of their own."""
        own = [p.name for p in plan.participants if p.tokenizer is None and not isinstance(p.model, str)]
        if plan.task in LANGUAGE and own and len(plan.participants) > 1:
            raise FedgrowError(
                f"baselines: {self.name} needs one vocabulary, for perplexities of different ones do not compare, but "
                f"{own[0]} learns its own; name one participants[].tokenizer for all, or leave it out"
            )
        if plan.task in LANGUAGE:
            folders = {p.name: p.tokenizer_folder for p in plan.participants}
            one_vocabulary({n: digest(load_tokenizer(n, f)) for n, f in folders.items() if f is not None})

    def check_data(self, plan: Plan) -> None:
        """Refuse images of different sizes."""
        try:
            one_size(sources(plan))
        except FedgrowError as error:
            raise FedgrowError(f"baselines: {self.name}: {error}, or leave it out") from None

    def run(self, sites: Sequence[Participant]) -> list[Ended]:
        """Train once; evaluate for every participant after every round's worth of steps.

        Raises:
            FedgrowError: the task is language modelling and vocabularies differ, or images differ in size.
        """
        source, people = source_of(sites), len(sites)
        plan, task = source.plan, source.task
        if task.name in LANGUAGE:
            one_vocabulary({site.name: site.codec.vocabulary_digest() for site in sites})
        codec = codec_for_all(source, sites)
        rates = plan.training
        learner = WholeModel(
            model_for_all(source, codec), rates.model_learning_rate, head_rate=rates.head_learning_rate
        )
        data = codec.encode(joined([site.raw_data[0] for site in sites]))
        tests = [(codec.encode(site.raw_data[1]), own_choices(site, codec)) for site in sites]
        steps = sum(own_steps(plan, i) + self.unprepared(plan) for i in range(people))
        rounds = jointly(steps, plan.schedule.rounds)[1:]
        weights = learner.private_start()
        curves: list[list[Metrics]] = []
        flops: list[int] = []
        for number, [(_, steps)] in enumerate(rounds, 1):
            seed = derive(plan.seed, TRAIN, people, number)  # participants' own streams end before this one
            train = partial(fit, learner, {}, weights, data, codec, task, plan.training)
            size = plan.training.batch_size
            try:
                fitted = train(phase="joint", steps=steps, seed=seed)
                curves.append(
                    [
                        evaluate(learner, {}, fitted.private, test, codec, task, size, plan.training, choices)
                        for test, choices in tests
                    ]
                )
            except FedgrowError as error:
                raise FedgrowError(f"{self.name}, in round {number}: {error}") from None
            cost = training_flops(
                train, learner, data, codec, size,
                phase="joint", steps=steps, seed=seed, alike=(source.run.path, self.name),
            )  # fmt: skip
            flops.append((flops[-1] if flops else 0) + cost)
            if fitted.skipped:
                emit(source.run.path, "skipped", method=self.name, round=number, steps=fitted.skipped)
            weights = fitted.private
        size = count(learner.materialise({}, weights))
        return [
            Ended(curve[-1], list(curve), [f // people for f in flops], learner.trained(), size)
            for curve in zip(*curves, strict=True)
        ]


def labels_of_all(sites: Sequence[Participant]) -> list[str]:
    """Return everyone's labels, each once: in the first participant's order, then the next's; empty if there are none."""
    return list(dict.fromkeys(label for site in sites for label in site.codec.labels))


def own_choices(site: Participant, codec: Codec) -> Bool[Tensor, " labels"] | None:
    """Return which of the labels of all are the participant's own; None where the task has no labels."""
    return torch.tensor([label in site.codec.labels for label in codec.labels]) if codec.labels else None


def codec_for_all(source: Participant, sites: Sequence[Participant]) -> Codec:
    """Return the codec of whose model the common one is grown from, with the labels of all."""
    labels = labels_of_all(sites)
    entry, shard = source.entry, joined([joined(site.raw_data) for site in sites])
    config = load_config(entry.model) if isinstance(entry.model, str) else None
    data = entry.data or source.plan.data
    if labels and data is not None:
        entry = entry.model_copy(update={"data": data.model_copy(update={"labels": tuple(labels)})})
        if config is not None:  # a model's own labels would come before the list of all
            config.id2label = {i: f"LABEL_{i}" for i in range(len(labels))}
    # a tokenizer that is learned is that participant's: its prepared model knows no other
    return source.task.codec(Given(source.plan, entry, shard, config, source.raw_data[0]))


def model_for_all(source: Participant, codec: Codec) -> nn.Module:
    """Return the common grown model with a head over the labels of all."""
    model: Any = grow_common(source)
    config = own_config(model, model.config, words=False)
    values = codec.config_values()
    for field in ("id2label", "label2id"):
        if codec.labels and field in values:
            setattr(config, field, values[field])
    differ = differing(source, codec)
    if config.id2label != model.config.id2label:
        differ.add("label")
    return with_config(model, config, differ, source.plan.seed)


def one_vocabulary(digests: Mapping[str, str | None]) -> None:
    """Refuse vocabularies that differ, given a digest of each participant's.

    Raises:
        FedgrowError: there are such; the text names two participants.
    """
    names = list(digests)
    other = next((name for name in names if digests[name] != digests[names[0]]), None)
    if other is not None:
        raise FedgrowError(
            f"pooled: {other} has another vocabulary than {names[0]}, and perplexities of different "
            "vocabularies do not compare; give all participants one tokenizer, or leave pooled out of baselines"
        )
