"""An estimator of gluonts.

`TitansEstimator` takes gluonts' data sets and argument names and returns its forecasts, so that gluonts' own
evaluation and plots work. Beside it stands `PretrainedPredictor`, which trains nothing.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from gluonts.dataset.pandas import PandasDataset
from gluonts.dataset.split import split
from gluonts.ev.metrics import MASE, MeanWeightedSumQuantileLoss
from gluonts.model.evaluation import evaluate_model

from titans_ts import TitansEstimator, load_air_passengers
from titans_ts.forecasting import PretrainedPredictor

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

frame = load_air_passengers()
dataset = PandasDataset.from_long_dataframe(frame, item_id="item_id", timestamp="timestamp", target="target", freq="M")
past, template = split(dataset, offset=-24)
windows = template.generate_instances(prediction_length=12, windows=2)

# Five short epochs, so that the example is quick; 20 of 50 batches are the default.
trainer = {"max_epochs": 5}
trained = TitansEstimator(prediction_length=12, freq="M", trainer_kwargs=trainer).train(past)
predictors = {"TitansEstimator": trained, "PretrainedPredictor": PretrainedPredictor(prediction_length=12, freq="M")}
metrics = [MASE(), MeanWeightedSumQuantileLoss(quantile_levels=[0.1, 0.5, 0.9])]

figure, grid = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for axes, (name, predictor) in zip(grid, predictors.items(), strict=True):
    print(name, evaluate_model(predictor, test_data=windows, metrics=metrics, seasonality=12), sep="\n")
    axes.plot(frame["timestamp"][-48:], frame["target"][-48:], color="black", linewidth=0.9)
    for forecast in predictor.predict(windows.input):
        steps = forecast.index.to_timestamp()
        axes.fill_between(steps, forecast.quantile(0.1), forecast.quantile(0.9), alpha=0.3, color="C0")
        axes.plot(steps, forecast.quantile(0.5), color="C0")
    axes.set_title(name)
    axes.tick_params(axis="x", rotation=30)
figure.savefig(out / "gluonts_estimator.png", dpi=80)
