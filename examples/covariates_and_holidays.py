"""Covariates and holidays.

Daily sales of a shop that sells more in promotions, most on Saturdays, and hardly anything on holidays. Promotions
are known ahead and stand in the table; weekends and holidays are named and computed.
"""

from pathlib import Path

import holidays
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from titans_ts import TitansForecaster

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

rng = np.random.default_rng(0)
days = pd.date_range("2022-01-03", "2024-12-31")
closed = np.isin(days.date, list(holidays.country_holidays("DE", years=range(2022, 2025))))
promotion = (rng.random(len(days)) < 0.1).astype(int)
sales = (100 + 30 * (days.dayofweek == 5) + 40 * promotion) * np.where(closed, 0.2, 1) + rng.normal(0, 5, len(days))
table = pd.DataFrame({"timestamp": days, "target": sales, "promotion": promotion})

# The last three weeks of the year are to be forecast: their promotions are planned, their sales are not known.
past, future = table[:-21], table[-21:]
settings = {"prediction_length": 21, "max_steps": 0}  # no gradient steps: linear part, experts and pretrained weights
plain = TitansForecaster(**settings).fit(past[["timestamp", "target"]]).predict()
knowing = TitansForecaster(**settings, holidays="DE", calendar=("weekend",), known_covariates=["promotion"]).fit(past)
informed = knowing.predict(future=future[["timestamp", "promotion"]])

for name, forecast in (("history alone", plain), ("promotions and holidays", informed)):
    error = np.abs(forecast["0.5"].to_numpy() - future["target"].to_numpy()).mean()
    print(f"{name}: mean absolute error {error:.1f}")

figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
axes.plot(past["timestamp"][-35:], past["target"][-35:], color="black", label="history")
axes.plot(future["timestamp"], future["target"], "o", color="black", markersize=4, label="what came")
axes.fill_between(informed["timestamp"], informed["0.05"], informed["0.95"], alpha=0.25, color="C0", label="90 %")
axes.plot(informed["timestamp"], informed["0.5"], color="C0", label="promotions and holidays known")
axes.plot(plain["timestamp"], plain["0.5"], color="C1", linestyle="--", label="history alone")
axes.set(ylabel="sales", ylim=(0, None))
axes.legend(ncols=3, frameon=False)
axes.tick_params(axis="x", rotation=30)
figure.savefig(out / "covariates_and_holidays.png", dpi=80)
