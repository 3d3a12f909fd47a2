# What `toughen.serve` exports, and where it lives: imported when first used.
from .app import make_app as make_app
from .limits import Limits as Limits
from .model import Served as Served
from .model import open_model as open_model
from .tracing import OpenTelemetrySpans as OpenTelemetrySpans
