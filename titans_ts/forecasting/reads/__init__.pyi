from .features import ReadingInputs as ReadingInputs
from .forecast import ForecastOptions as ForecastOptions
from .forecast import forecast as forecast
from .network import ReadingConfig as ReadingConfig
from .network import ReadingNetwork as ReadingNetwork
from .series import Series as Series
from .streaming.stream import ReadingStream as ReadingStream
from .streaming.surprise import surprises as surprises
