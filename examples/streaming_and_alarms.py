"""Streaming and alarms.

A session takes in observations as they come and can forecast at any time; an observation costs the same after a
million others. The air pressure at three airports is watched: the day on which it fell to 994 mbar surprises most.
"""

from pathlib import Path

from titans_ts import TitansForecaster, load_weather

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

weather = load_weather()[["item_id", "timestamp", "pressure"]]
weather = weather[weather["timestamp"] >= "2013-04-01"]
past, later = weather[weather["timestamp"] < "2013-10-01"], weather[weather["timestamp"] >= "2013-10-01"]
forecaster = TitansForecaster(24, target_column="pressure", max_steps=0).fit(past)

# The session has read the history of the fit. Each step is a row a series; whole tables are taken as well.
stream = forecaster.stream()
for _, rows in later[later["timestamp"] < "2013-10-02"].groupby("timestamp"):
    stream.observe(rows)
print(stream.forecast()[["item_id", "timestamp", "0.05", "0.5", "0.95"]].head(3))

# Alarms: of series that go on like the history, at most one token (a day) in fifty is one. Autumn storms are not like
# the summer that was read before, and there are more.
found = forecaster.detect(later, false_alarm_rate=0.02)
print(found[found["alarm"]].head())

forecaster.plot_surprise(later, 0.02, items=["JFK"], path=out / "streaming_and_alarms.png")

# A stopped session goes on with the same bits, in another process too.
stream.snapshot(out / "session")
