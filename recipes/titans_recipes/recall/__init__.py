"""Recall: is what a stream said long ago still known? Tasks, a small network, training short, testing long."""

from titans_recipes.recall.network import RecallNetwork
from titans_recipes.recall.tasks import TASKS, RecallTask, RepeatTask, Streams
from titans_recipes.recall.training import Accuracy, RecallTraining, accuracy, train

__all__ = [
    "TASKS",
    "Accuracy",
    "RecallNetwork",
    "RecallTask",
    "RecallTraining",
    "RepeatTask",
    "Streams",
    "accuracy",
    "train",
]
