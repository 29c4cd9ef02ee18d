"""The methods a forecast is mixed from, one idea a file; each is an `Expert`."""
