"""Exact linear memories: of phases and of lags."""
