from .panel import Expert as Expert
from .panel import Panel as Panel
