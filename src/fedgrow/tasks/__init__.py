"""Tasks, one per file; add a task by adding a file and a line here."""

from fedgrow.tasks.base import Codec, Encoded, Given, Task
from fedgrow.tasks.causal_language_modelling import CausalLanguageModelling
from fedgrow.tasks.image_classification import ImageClassification
from fedgrow.tasks.masked_language_modelling import MaskedLanguageModelling
from fedgrow.tasks.question_answering import QuestionAnswering
from fedgrow.tasks.sequence_classification import SequenceClassification
from fedgrow.tasks.token_classification import TokenClassification

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        SequenceClassification(),
        TokenClassification(),
        QuestionAnswering(),
        ImageClassification(),
        CausalLanguageModelling(),
        MaskedLanguageModelling(),
    )
}

__all__ = ["TASKS", "Codec", "Encoded", "Given", "Task"]
