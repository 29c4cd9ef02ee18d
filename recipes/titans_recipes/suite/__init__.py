"""Public forecasting suites: tasks of GIFT-Eval and Chronos Benchmark II, their protocol, scores and published rows."""

from titans_recipes.suite.protocol import Forecaster, Score, evaluate, geometric_means, seasonal_naive
from titans_recipes.suite.published import published_scores
from titans_recipes.suite.tasks import SuiteTask, load_tasks

__all__ = [
    "Forecaster",
    "Score",
    "SuiteTask",
    "evaluate",
    "geometric_means",
    "load_tasks",
    "published_scores",
    "seasonal_naive",
]
