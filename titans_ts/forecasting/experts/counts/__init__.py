"""Forecasts of counts and of demand with many zeros as distributions that hold whole numbers and an atom at 0."""
