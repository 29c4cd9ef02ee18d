from .mixture import ExpertMixture as ExpertMixture
from .mixture import MixtureForecast as MixtureForecast
from .mixture import default_experts as default_experts
from .panel import Expert as Expert
from .panel import Panel as Panel
