"""Logistic regression on the small model's features: what the model knew of the task before it was trained for it.

The model is as it came, before it was prepared; one that is made in the run has nothing to show before, so there it is the
prepared one. Features are what its classifier reads. Where a model comes without the layers before its classifier (a
pooler, a dense layer of the head), features pass through new ones with random weights.
"""

from collections.abc import Collection

import numpy as np

from fedgrow.approaches.base import Alone, Ended
from fedgrow.approaches.common_model import as_it_came
from fedgrow.architectures import read
from fedgrow.architectures.models import count
from fedgrow.config.plan import Plan
from fedgrow.learners.features import TASKS, classifier_of, frozen_features
from fedgrow.participants.participant import Participant
from fedgrow.tasks.base import Encoded
from fedgrow.tasks.classification import quality
from fedgrow.training.flops import counted


class LinearProbe(Alone):
    """Logistic regression on frozen features."""

    name = "linear-probe"
    title = "logistic regression on the small model's features, as it came"
    goes_by = ()
    also_read = ("training",)  # its longest text; and models that are made in the run are prepared by it
    tasks = TASKS

    def prepared(self, plan: Plan) -> Collection[int]:
        """Return those that are made in the run."""
        return [i for i, p in enumerate(plan.participants) if not isinstance(p.model, str)]

    def run(self, site: Participant) -> Ended:
        """Fit and evaluate."""
        from sklearn.linear_model import LogisticRegression  # here: most commands fit none
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = as_it_came(site)
        path = classifier_of(model, read(model)).path

        def features(data: Encoded) -> np.ndarray:
            size = site.plan.training.batch_size
            return frozen_features(model, path, data, site.codec, size).numpy()

        found: list[np.ndarray] = []
        cost = counted(lambda: found.append(features(site.train_data)))
        train, test = found[0], features(site.test_data)
        targets = site.train_data.targets.numpy()
        predicted, size = np.full(len(test), targets[0]), 0
        if len(set(targets.tolist())) > 1:  # else there is nothing to fit: the one class is the answer
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
            predicted = probe.fit(train, targets).predict(test)
            size = probe[-1].coef_.size + probe[-1].intercept_.size
        metrics = quality(site.test_data.targets.numpy(), predicted)
        return Ended(metrics, [], [cost], trained=size, model=count(model))
