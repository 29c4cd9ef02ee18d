"""A first forecast.

Twelve years of monthly air passengers, and the next two: weights that come with the package read the table, nothing
is trained. The backtest says how far to believe it.
"""

from pathlib import Path

from titans_ts import TitansForecaster, load_air_passengers

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

# A long table: item_id, timestamp, target. Other names go with id_column=, timestamp_column= and target_column=.
table = load_air_passengers()
forecaster = TitansForecaster.from_pretrained("zero", prediction_length=24)

forecast = forecaster.predict(table)
print(forecast[["timestamp", "0.05", "0.5", "0.95"]].round().head(3))

# Each window is forecast from what lies before it, beside the parts of the mixture and simple baselines.
print(forecaster.backtest(table, windows=2))

# Fitting the pretrained forecaster takes no gradient step: it learns what the plot and later forecasts are about.
forecaster.fit(table).plot(path=out / "first_forecast.png")
