"""Built-in series, so that an example needs one import."""

from titans_datasets.builtin import load_air_passengers, load_weather

__all__ = ["load_air_passengers", "load_weather"]
