"""Reads that keep up with their series: forecasts and surprise, observation by observation."""
