"""Fine-tuning the pretrained weights.

The weights know season, trend, lags and the drafts of simple experts. What they do not know can be learned from a
panel: here the product of a wave of 5 and one of 8 steps. Held-out windows decide whether the tuned weights are kept;
on most panels of ordinary series they refuse.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from titans_ts import TitansForecaster

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

steps, rng = np.arange(640), np.random.default_rng(0)
series = [
    5 + np.sin(2 * np.pi * (steps / 5 + rng.random())) * np.sin(2 * np.pi * (steps / 8 + rng.random()))
    for _ in range(12)
]
table = pd.DataFrame(
    {
        "item_id": np.repeat([f"wave {n}" for n in range(12)], len(steps)),
        "timestamp": np.tile(pd.date_range("2024-01-01", periods=len(steps), freq="h"), 12),
        "target": np.concatenate(series),
    }
)
past = table[table.groupby("item_id").cumcount() < 616]
truth = table[table.groupby("item_id").cumcount() >= 616]

forecasts = {}
for tuning in (0, 60):
    forecaster = TitansForecaster.from_pretrained("zero", prediction_length=24, max_steps=tuning).fit(past)
    forecasts[tuning] = forecaster.predict()
    error = np.abs(forecasts[tuning]["0.5"].to_numpy() - truth["target"].to_numpy()).mean()
    print(f"{tuning} steps: mean absolute error {error:.4f}")

figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
axes.plot(np.arange(-48, 0), past["target"][564:612].to_numpy(), color="black", label="history")
axes.plot(np.arange(24), truth["target"][:24].to_numpy(), "o", color="black", markersize=4, label="what came")
for tuning, forecast in forecasts.items():
    axes.plot(np.arange(24), forecast["0.5"][:24], label=f"{tuning} gradient steps")
axes.set(xlabel="step")
axes.legend(frameon=False, ncols=4)
figure.savefig(out / "fine_tuning.png", dpi=80)
