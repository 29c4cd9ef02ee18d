"""A task of fev.

[fev](https://pypi.org/project/fev/) describes an evaluation as a task: data, horizon, windows, covariates and metric.
`TitansModel` takes all of that from it. `pip install "titans-ts[fev]"`; the data are made here, so that nothing is
downloaded.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from titans_datasets.series import SyntheticSpec, synthetic_frame, write_table
from titans_ts import TitansForecaster

if find_spec("fev") is None:
    print('nothing is done without fev: pip install "titans-ts[fev]"')
    sys.exit()

import fev

from titans_ts.forecasting.fev import TitansModel

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)
table = synthetic_frame(SyntheticSpec(items=4, length=300, freq="D", noise=0.3, effect=2.0))
write_table(table, str(out / "fev_sales.parquet"))

task = fev.Task(
    dataset_path=str(out / "fev_sales.parquet"),
    id_column="item_id",
    horizon=28,
    num_windows=2,
    seasonality=7,
    eval_metric="WQL",
    quantile_levels=[0.1, 0.5, 0.9],
    known_dynamic_columns=["promotion"],
)
scores, forecasts = {}, {}
for name, model in {
    "without training": TitansModel(pretrained="zero"),
    "fitted, no gradient step": TitansModel(TitansForecaster(max_steps=0)),
}.items():
    forecasts[name] = model.fit_predict(task)
    scores[name] = task.evaluation_summary(forecasts[name], model_name=name)["test_error"]
    print(f"{name}: WQL {scores[name]:.4f}")

# The predictions of fev: one data set a window, a row a series.
figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
first = table[table["item_id"] == table["item_id"].iloc[0]]
axes.plot(np.arange(84), first["target"][-84:], color="black", linewidth=0.9, label="sales")
for color, (name, windows) in zip(("C0", "C1"), forecasts.items(), strict=True):
    for number, window in enumerate(windows):
        steps = np.arange(28 + 28 * number, 56 + 28 * number)
        rows = window["target"] if isinstance(window, dict) else window
        axes.plot(steps, rows[0]["predictions"], color=color, label=None if number else f"{name}: {scores[name]:.4f}")
figure.legend(loc="outside upper center", ncols=3, frameon=False, title="WQL")
axes.set(xlabel="day")
figure.savefig(out / "fev_task.png", dpi=80)
