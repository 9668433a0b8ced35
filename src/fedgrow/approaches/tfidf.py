"""TF-IDF with logistic regression on each participant's own texts: what a transformer has to be worth more than."""

from collections.abc import Collection

from fedgrow.approaches.base import Alone, Ended
from fedgrow.config.plan import Plan
from fedgrow.participants.participant import Participant
from fedgrow.tasks.classification import quality


class TfIdf(Alone):
    """TF-IDF with logistic regression."""

    name = "tfidf"
    title = "TF-IDF with logistic regression on the participant's own shard"
    goes_by = ()
    tasks = ("sequence-classification",)

    def prepared(self, plan: Plan) -> Collection[int]:
        """Return nobody's: it takes no model."""
        return ()

    def run(self, site: Participant) -> Ended:
        """Fit and evaluate."""
        from sklearn.feature_extraction.text import TfidfVectorizer  # here: most commands fit none
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        train, test = site.raw_data
        assert train.labels is not None
        size = 0
        if len(set(train.labels)) == 1:  # nothing to fit: the one class is the answer
            predicted = [train.labels[0]] * len(test)
        else:
            model = make_pipeline(
                TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000, C=10.0)
            )
            predicted = list(model.fit(train.texts, train.labels).predict(test.texts))
            size = model[-1].coef_.size + model[-1].intercept_.size
        metrics = quality(test.labels, predicted)
        return Ended(metrics, [], [], trained=size, model=0)
