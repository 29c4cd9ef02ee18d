"""The tasks of recipes. A new task is its own module and one line here."""

from __future__ import annotations

from importlib import import_module

from titans_recipes.task import Task

# Name in a recipe's `task:` → module with TASK, imported when it is needed. Tables of results come in this order.
TASKS = {
    "long_horizon": "titans_recipes.forecasting.long_horizon",
    "electricity_prices": "titans_recipes.forecasting.electricity_prices",
    "dna": "titans_recipes.dna.classification",
    "distal": "titans_recipes.dna.distal",
    "dna_regression": "titans_recipes.dna.regression",
    "recall": "titans_recipes.recall.task",
    "demand": "titans_recipes.demand.task",
    "genome_recall": "titans_recipes.genome_recall.task",
    "language_model": "titans_recipes.dna.language_model",
    "segmentation": "titans_recipes.dna.segmentation",
    "suite": "titans_recipes.suite.recipe",
}


def task_named(name: str) -> Task:
    """The task of this name.

    Raises:
        ValueError: there is none; the message lists them all.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose among {', '.join(TASKS)}")
    found: Task = import_module(TASKS[name]).TASK
    return found
