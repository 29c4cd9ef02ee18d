"""Many series, in parts.

A folder of Parquet files that need not fit into memory: each file becomes one file of forecasts, and a run that was
stopped goes on. With Ray (`pip install "titans-ts[ray]"`) parts are forecast by several processes or machines,
without it one after another.

The same on the command line: `titans-ts forecast parts/ --horizon 28 --model model --output forecasts/ --workers 2`.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from titans_datasets.series import SyntheticSpec, synthetic_frame, write_table
from titans_ts import TitansForecaster
from titans_ts.forecasting import predict_dataset

out = Path("out/examples")
folder = out / "many_series"
shutil.rmtree(folder, ignore_errors=True)
(folder / "parts").mkdir(parents=True)

# 200 daily series with a promotion known ahead are made; what is written has no covariates, to keep the example short.
table = synthetic_frame(SyntheticSpec(items=200, length=365, freq="D", noise=0.4))[["item_id", "timestamp", "target"]]
for number, (_, part) in enumerate(table.groupby(table["item_id"].str[-1])):
    write_table(part, str(folder / f"parts/{number}.parquet"))

# What the panel shares (weights of the experts, shapes of errors) is learned from a sample.
sample = table[table["item_id"].isin(table["item_id"].unique()[:50])]
TitansForecaster.from_pretrained("zero", prediction_length=28).fit(sample).save(folder / "model")

ray = {"engine": "ray", "workers": 2} if find_spec("ray") else {}
print(predict_dataset(folder / "model", folder / "parts", folder / "forecasts", **ray))
forecasts = pd.concat(pd.read_parquet(file) for file in sorted((folder / "forecasts").glob("*.parquet")))
print(f"{forecasts['item_id'].nunique()} series, {len(forecasts):,} rows")

figure, grid = plt.subplots(3, 4, figsize=(9, 5), layout="constrained", sharex=True)
for axes, item in zip(grid.flat, table["item_id"].unique()[::17], strict=False):
    past, ahead = (frame[frame["item_id"] == item] for frame in (table, forecasts))
    axes.plot(past["timestamp"][-56:], past["target"][-56:], color="black", linewidth=0.8)
    axes.fill_between(ahead["timestamp"], ahead["0.05"], ahead["0.95"], alpha=0.3)
    axes.plot(ahead["timestamp"], ahead["0.5"])
    axes.set_title(item, fontsize=8)
    axes.set(xticks=[], yticks=[])
figure.savefig(out / "many_series.png", dpi=80)
