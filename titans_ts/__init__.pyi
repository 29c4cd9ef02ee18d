from .core import MemoryConfig as MemoryConfig
from .core import MemoryState as MemoryState
from .core import NeuralMemory as NeuralMemory
from .core import Titans as Titans
from .core import TitansConfig as TitansConfig
from .core import parameter_groups as parameter_groups
from .data import load_air_passengers as load_air_passengers
from .data import load_weather as load_weather
from .forecasting import ForecastNetwork as ForecastNetwork
from .forecasting import NetworkConfig as NetworkConfig
from .forecasting import TitansEstimator as TitansEstimator
from .forecasting import TitansForecaster as TitansForecaster
from .forecasting import TitansStream as TitansStream
from .forecasting import plot_forecast as plot_forecast
from .genomics import DNAClassifier as DNAClassifier
from .genomics import DNALanguageModel as DNALanguageModel
from .genomics import SequenceConfig as SequenceConfig
from .genomics import SequenceNetwork as SequenceNetwork

__version__: str
