"""Public forecasting suites: tasks of GIFT-Eval, Chronos Benchmark II and fev-bench, protocol, published scores."""

from titans_recipes.suite.archives.loading import load_tasks
from titans_recipes.suite.baseline import check_baseline, seasonal_naive
from titans_recipes.suite.protocol import Forecaster, Score, evaluate, geometric_means
from titans_recipes.suite.published import published_scores
from titans_recipes.suite.tasks import SuiteTask
from titans_recipes.suite.windows import Window

__all__ = [
    "Forecaster",
    "Score",
    "SuiteTask",
    "Window",
    "check_baseline",
    "evaluate",
    "geometric_means",
    "load_tasks",
    "published_scores",
    "seasonal_naive",
]
