"""TF-IDF with logistic regression on each participant's own texts: what a transformer has to be worth more than."""

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fedgrow.federated.client_app import participant
from fedgrow.runs.folder import RunFolder
from fedgrow.tasks.classification import quality

TASKS = ("sequence-classification",)


def run(folder: RunFolder) -> list[dict[str, float]]:
    """Return every participant's metrics; the plan's task must be one of ``TASKS``."""
    results = []
    for index in range(len(folder.plan.participants)):
        train, test = participant(str(folder.path), index, "dual-ligo").raw_data
        assert train.labels is not None
        if len(set(train.labels)) == 1:  # nothing to fit: the one class is the answer
            predicted = [train.labels[0]] * len(test)
        else:
            model = make_pipeline(
                TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000, C=10.0)
            )
            predicted = list(model.fit(train.texts, train.labels).predict(test.texts))
        results.append(quality(test.labels, predicted))
    return results
