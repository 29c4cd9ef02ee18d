from .forecast import ForecastRecord as ForecastRecord
from .forecast import forecast_report as forecast_report
from .page import HTMLReport as HTMLReport
from .page import check_report as check_report
from .series import Columns as Columns
